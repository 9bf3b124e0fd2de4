"""Medians, spreads, ratios, nearness and the printed tables of `headrace bench`."""

import pytest
from msgspec import structs

from loadtest.bench.ceilings import Ceiling, cheapest
from loadtest.bench.nearness import MADE_OF, nearness
from loadtest.bench.ours import NAME, Headrace
from loadtest.bench.report import FIGURES, Report, standing, with_partiql
from loadtest.bench.statistics import Spread, over, ratio, spread
from loadtest.bench.subject import GUARANTEES
from loadtest.bench.subjects import NAMES, SPECS
from loadtest.bench.tables import render
from loadtest.bench.turns import Sizes, Turn


def turn(per_s: float = 100.0, cpu_ms: float = 2.0, requests: float = 50.0) -> Turn:
    return Turn(
        per_s=per_s,
        cpu_ms=cpu_ms,
        cpu_ms_by_part=dict.fromkeys(MADE_OF, cpu_ms / len(MADE_OF)),
        requests=requests,
        calls={},
        burst_p50_ms=1.0,
        burst_p99_ms=2.0,
        paced_p50_ms=3.0,
        paced_p99_ms=4.0,
        servers_ms={"aws": 1.0, "postgres": 0.5},
        client_ms=0.1,
    )


def test_a_spread_is_median_least_and_most() -> None:
    assert spread([3.0, 1.0, 10.0]) == Spread(3.0, 1.0, 10.0)
    assert over([turn(1.0), turn(5.0)], FIGURES["per_s"]) == Spread(3.0, 1.0, 5.0)


def test_ratios_are_made_round_by_round_so_that_a_slow_round_disturbs_both() -> None:
    slow, quick = [turn(50.0), turn(100.0)], [turn(100.0), turn(200.0)]
    assert ratio(slow, quick, FIGURES["per_s"]) == Spread(0.5, 0.5, 0.5)


def test_there_is_no_ratio_to_nothing() -> None:
    assert ratio([turn()], [turn(requests=0.0)], FIGURES["requests"]) is None
    assert ratio([turn()], [], FIGURES["requests"]) is None


def test_servers_cpu_is_summed_over_servers() -> None:
    assert FIGURES["servers_ms"](turn()) == 1.5


def test_with_partiql_a_call_holds_25_commits() -> None:
    run = structs.replace(turn(requests=34.0), calls={"dynamodb.TransactWriteItems": 10.0, "sqs.SendMessageBatch": 24.0})
    assert with_partiql(run) == 34.0 - 10.0 + 40.0


def test_a_hop_is_as_near_as_its_calls_are_of_its_cpu() -> None:
    ceilings = {name: Ceiling("", 1000.0, 50.0) for parts in MADE_OF.values() for name in parts}
    near = {each.hop: each for each in nearness([turn(cpu_ms=1.0)], ceilings)}
    assert set(near) == set(MADE_OF)
    assert near["gateway"].ceiling_us == pytest.approx(150.0)
    assert near["gateway"].percent == pytest.approx(75.0)
    assert near["relay"].percent == pytest.approx(50.0)


def test_a_ceiling_is_the_best_of_its_passes() -> None:
    cold, beside_others, quiet = Ceiling("calls", 50.0, 40.0), Ceiling("calls", 900.0, 9.0), Ceiling("calls", 1000.0, 10.0)
    assert cheapest([cold, beside_others, quiet]) == Ceiling("calls", 1000.0, 9.0)


def test_nothing_is_near_what_was_not_measured() -> None:
    assert nearness([], {"decode": Ceiling("", 1.0, 1.0)}) == []
    assert nearness([turn()], {}) == []


@pytest.mark.parametrize("guarantees", [Headrace.guarantees, *(spec.guarantees for spec in SPECS.values())])
def test_everybody_says_what_it_guarantees(guarantees: dict[str, str]) -> None:
    assert set(guarantees) == set(GUARANTEES)


def test_names_are_unlike() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert not any("," in name for name in NAMES)


def test_the_table_has_everyone_who_ran_and_says_why_others_did_not() -> None:
    turns = {NAME: [turn(200.0)], "other": [turn(100.0, cpu_ms=8.0)], "absent": []}
    answers = dict.fromkeys(GUARANTEES, "yes")
    subjects = [standing(name, answers, turns, "it broke" if name == "absent" else None) for name in turns]
    machine = {"cpus": "2", "system": "", "processor": ""}
    text = render(Report("backend-1", {}, machine, Sizes(100, 20, 20.0, 10), 1, subjects, {"decode": Ceiling("it", 1234.0, 5.6)}, []))
    lines = text.splitlines()
    assert any(line.startswith(NAME) and "200 (200-200)" in line for line in lines)
    assert any(line.startswith("other") and "0.50 (0.50-0.50)" in line and "4.00 (4.00-4.00)" in line for line in lines)
    assert "absent DID NOT RUN: it broke" in lines
    assert any(line.startswith("decode") and "1,234" in line for line in lines)
    assert all(line == line.rstrip() for line in lines)
