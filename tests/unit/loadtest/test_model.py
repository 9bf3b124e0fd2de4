"""The arithmetic of a rate: what it takes, and what it meets first."""

from pathlib import Path

import pytest

from events.deciding import decide
from events.dynamo_items import to_item
from events.parcel import encode_command, encode_commit
from gateway.parcelling import pace_of
from headrace.costs.prices import load_prices
from headrace.errors import WrongUse
from loadtest.bench.job import TEXT
from loadtest.model.__main__ import main
from loadtest.model.facts import ROLES, load_measured, load_quotas
from loadtest.model.hops import Hops, Setting, hops
from loadtest.model.limits import limits
from loadtest.model.tables import tables
from runtime.item_size import item_size
from runtime.times import Micros
from tests.support.said import REGISTRY, create, empty
from workers.pacing import FULL
from workers.packing import GROUPS

MEASURED, QUOTAS, PRICES = load_measured(), load_quotas(), load_prices()


def at(rate: float, partitions: int = 16, **more: float) -> Hops:
    linger = pace_of(more.get("linger", 0.25))
    return hops(rate, Setting(partitions, linger, more.get("gather", 0.2)), MEASURED, PRICES)


def test_sizes_are_those_of_the_codec() -> None:
    ident = "bench1a2b3c4d-12345"
    command = create(ident, text=TEXT, key=ident, actor="load-12", accepted_at=Micros(1_764_000_000_000_000))
    commit = decide(empty(command.stream), [command], REGISTRY).commit()
    sizes = MEASURED.bytes
    assert (sizes.envelope, sizes.commit) == (len(encode_command(command)), len(encode_commit(commit)))
    assert sizes.item == item_size(to_item(commit))


def test_a_command_worker_waits_for_its_appends_before_it_lacks_cpu() -> None:
    assert [at(rate, 64).processes["commands"] for rate in (3_000.0, 10_000.0, 20_000.0)] == [1, 3, 6]


def test_every_command_is_in_a_parcel_and_every_commit_in_a_message() -> None:
    for rate in (3.0, 200.0, 5_000.0, 300_000.0):
        found = at(rate, 64)
        assert found.commands_a_parcel * found.parcels == pytest.approx(rate)
        assert found.commits_a_message * found.messages == pytest.approx(rate)
        assert found.commands_a_parcel >= 0.99
        assert found.commits_a_message >= 0.99


def test_few_commands_travel_alone_and_many_together() -> None:
    assert at(1.0).commands_a_parcel == pytest.approx(1.0, abs=0.05)
    assert at(4_000.0).commands_a_parcel > 40


def test_a_longer_linger_makes_fewer_calls_and_a_longer_gathering_fewer_messages() -> None:
    assert at(2_000.0, linger=1.0).sends < at(2_000.0).sends / 2
    assert at(2_000.0, gather=0.8).messages < at(2_000.0).messages / 2


def test_a_page_is_full_before_a_long_gathering_is_over() -> None:
    assert at(75_000.0, 128, gather=1.0).commits_a_message == pytest.approx(FULL / GROUPS, rel=0.01)


def test_processes_and_shards_grow_with_the_rate() -> None:
    small, large = at(1_000.0), at(100_000.0, 128)
    assert all(large.processes[role] > small.processes[role] for role in ROLES)
    assert (small.shards, large.shards) == (1, 100)


def test_dollars_are_at_least_the_write_units() -> None:
    for rate in (100.0, 10_000.0, 1_000_000.0):
        assert at(rate, 256).dollars_a_million >= PRICES.dynamodb_million_write_units


def test_the_nearest_limit_is_first_and_says_what_moves_it() -> None:
    found = limits(at(100_000.0, 128), MEASURED, QUOTAS)
    assert [each.share for each in found] == sorted((each.share for each in found), reverse=True)
    assert found[0].share > 1
    assert all(each.moved_by for each in found)
    assert len(found) >= 8


def test_fuller_messages_move_the_limit_of_the_groups() -> None:
    def share(gather: float) -> float:
        found = limits(at(20_000.0, 64, gather=gather), MEASURED, QUOTAS)
        return next(each.share for each in found if "message groups" in each.name)

    assert share(1.0) < share(0.2) / 3


def test_the_tables_have_every_rate(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.__doc__
    found = [at(1_000.0), at(10_000.0)]
    told = tables(found, [limits(each, MEASURED, QUOTAS) for each in found])
    assert "| commands a second | 1,000 | 10,000 |" in told
    assert told.count("the nearest limits") == 2
    assert not capsys.readouterr().out


def test_costs_measured_elsewhere_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="measured"):
        load_measured(tmp_path / "none.json")
