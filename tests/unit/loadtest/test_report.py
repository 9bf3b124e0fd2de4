"""From what a run saw to its report and its page."""

import re

import msgspec
import pytest

from headrace.audit.findings import Difference, Findings
from headrace.metering import Process, Reading
from loadtest.histograms import encoded, figures, histogram, merged, record
from loadtest.live import line
from loadtest.page.filling import page, plots
from loadtest.phases import Done, Tick, late_share
from loadtest.run import Ran
from loadtest.script import Shape
from loadtest.series import Series
from loadtest.summing import summed
from loadtest.verify import Verdict
from loadtest.wanted import Wanted
from loadtest.watch import Look

WANTED = Wanted((100.0,), 10.0, Shape())
BEGAN = 1_800_000_000.0


def latencies(*seconds: float) -> str:
    held = histogram()
    for each in seconds:
        record(held, each)
    return encoded(held)


def look(at: float, count: float) -> Look:
    return Look(
        BEGAN + at, count, count - 5, count - 5, count - 9, {"rds": 0.2, "cache": 0.3}, {"gateway": 10 * at}, {"gateway": 90.0}, {"rds": 2}
    )


def reading(cpu: float, requests: float) -> Reading:
    counters = {'headrace_aws_requests_total{call="SendMessageBatch",service="sqs"}': requests}
    return Reading((Process("gateway", 1, 1, cpu, 90.0, 100.0, counters),))


def findings(*differences: Difference) -> Findings:
    return Findings(not differences, ("I2",), 3, 1000, 0, 0, 0, list(differences))


def ran(**changed: object) -> Ran:
    series = Series(began=BEGAN, ended=BEGAN + 12)
    for second in range(12):
        series.look(look(float(second), 100.0 * second))
        series.tick(0, Tick(BEGAN + second, 100, 99, 1, 7, latencies(0.1, 0.2)))
    done = Done(
        0,
        1000,
        BEGAN,
        BEGAN + 10,
        BEGAN + 10.1,
        1000,
        990,
        10,
        due=1000,
        latency={"accepted": latencies(0.1, 0.3), "visible": latencies(3.0)},
    )
    verdict = Verdict(applied=985, rejected=5, projected=985)
    whole = Ran("ministack-1", [100.0], [done], reading(1000, 10), reading(1990, 109), BEGAN + 12, verdict, findings(), series, 1)
    for name, value in changed.items():
        setattr(whole, name, value)
    return whole


def test_figures_are_over_accepted_commands_and_rates_over_the_window_and_its_drain() -> None:
    report = summed(ran(), WANTED)
    assert report.faults == []
    assert (report.posted, report.accepted, report.refused, report.applied, report.rejected) == (1000, 990, 10, 985, 5)
    assert (report.requests_per_1000_commands, report.cpu_ms_per_command) == (100.0, 1.0)
    assert report.requests_by_call_per_1000 == {"sqs.SendMessageBatch": 100.0}
    assert report.projected_per_s == pytest.approx(985 / 12, abs=0.1)
    assert report.accepted_per_s == pytest.approx(990 / 10.1, abs=0.1)
    assert report.latency_ms["accepted"]["max"] == pytest.approx(300, rel=0.01)
    assert report.latency_ms["applied"] == {"p50": None, "p90": None, "p99": None, "max": None}
    assert report.window is not None
    assert (report.window.seconds, report.window.drain_seconds) == (10.0, 2.0)


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"findings": findings(Difference("I6", "comment-x", "differs"))}, "I6 comment-x"),
        ({"verdict": Verdict(applied=985, projected=985, faults=["I1 run-0-1: lost"])}, "I1 run-0-1"),
        ({"verdict": Verdict(applied=985, projected=900)}, "900 of them projected"),
        ({"verdict": Verdict(applied=985, projected=985, failed=1)}, "1 commands failed"),
        ({"projected_at": None}, "did not catch up"),
        ({"done": [Done(0, 9, BEGAN, BEGAN + 1, posted=9, accepted=9, due=9, late=1)]}, "void"),
        ({"done": [Done(0, 9, BEGAN, BEGAN + 1, posted=9, accepted=9, unanswered=2)]}, "2 commands got no answer"),
        ({"done": [Done(0, 9, BEGAN, BEGAN + 1, posted=9, accepted=9, faults=["I8 comment-x@2: older"])]}, "I8 comment-x@2"),
    ],
)
def test_a_broken_promise_fails_the_run(changed: dict[str, object], fault: str) -> None:
    assert any(fault in each for each in summed(ran(**changed), WANTED).faults)


def test_histograms_of_many_processes_add_up() -> None:
    whole = merged([latencies(*[0.001] * 99), "", latencies(2.0)])
    assert figures(whole) == {"p50": 1.0, "p90": 1.0, "p99": 1.0, "max": pytest.approx(2000, rel=0.01)}


def test_the_page_holds_everything_and_fetches_nothing() -> None:
    whole = ran(verdict=Verdict(applied=985, projected=985, faults=["</script><b>no"]))
    text = page(summed(whole, WANTED), whole.series, whole.done)
    assert not re.search(r"/\*[A-Z_]+\*/", text)
    assert not re.search(r"(src|href)=", text.split("<script>")[0])
    data = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)
    assert data is not None
    assert msgspec.json.decode(data[1])["report"]["faults"] == ["</script><b>no"]


def test_plots_show_rates_between_looks_and_a_gap_where_a_role_began_anew() -> None:
    whole = ran()
    whole.series.looks[6] = look(6.0, 0.0)
    shown = plots(summed(whole, WANTED), whole.series, whole.done)
    assert shown["rates"]["accepted"][:7] == [100.0] * 5 + [None, 700.0]
    assert shown["latency"]["p50"][0] == pytest.approx(100, rel=0.01)
    assert {len(each) for plot in ("rates", "cpu") for each in shown[plot].values()} == {11}


def test_the_live_line() -> None:
    assert line(Series()) == ""
    text = line(ran().series)
    for part in ("posted 100/s", "accepted 100/s", "in flight 7", "lag cache 0.3 s", "queues rds 2", "refused 12"):
        assert part in text


def test_lateness_is_counted_over_all_generators_and_phases() -> None:
    def done(late: int, due: int) -> Done:
        return Done(0, due, BEGAN, BEGAN, late=late, due=due)

    assert late_share([done(10, 100), done(0, 100)], [done(20, 200)]) == 30 / 400
    assert late_share([done(0, 0)]) == 0.0
