"""The demo's result: the object of its last line, and a few lines for people."""

from collections.abc import Callable, Mapping

from msgspec import Struct

from headrace.audit.findings import Findings


class Report(Struct):
    """The last line of stdout. Per-command figures are over accepted commands; rates over the window and its drain."""

    backend: str
    posted: int
    accepted: int
    refused: int
    applied: int
    rejected: int
    failed: int
    projected: int
    accepted_per_s: float
    appended_per_s: float
    projected_per_s: float
    latency_ms: dict[str, dict[str, float | None]]
    requests_per_1000_commands: float
    requests: dict[str, int]
    cpu_ms_per_command: float
    cpu_ms: dict[str, float]
    peak_rss_mb: dict[str, float]
    dollars_per_million: float
    audit: Findings


class Result(Struct):
    """The report, and what is wrong: one line each, none when all held."""

    report: Report
    faults: list[str]
    repeats: int
    seconds: float


def say_summary(result: Result, say: Callable[[str], None]) -> None:
    """For people, on stderr."""
    report = result.report
    visible, accepted = report.latency_ms["visible"], report.latency_ms["accepted"]
    say("")
    say(f"{report.accepted} of {report.posted} commands accepted on {report.backend} in {result.seconds:.1f} s"
        f" ({report.accepted_per_s:,.0f}/s): {report.applied} applied, {report.rejected} rejected, {report.failed} failed,"
        f" {report.projected} projected; {result.repeats} posts repeated")  # fmt: skip
    say(f"post to 202      p50 {_ms(accepted, 'p50')}   p99 {_ms(accepted, 'p99')}")
    say(f"post to visible  p50 {_ms(visible, 'p50')}   p99 {_ms(visible, 'p99')}")
    say(f"{report.requests_per_1000_commands:.0f} AWS requests per 1,000 commands, {report.cpu_ms_per_command:.2f} ms of CPU a command"
        f" over {len(report.cpu_ms)} roles")  # fmt: skip
    if not result.faults:
        say(f"every read equals the fold of the event store; audit clean over {report.audit.streams} streams,"
            f" {report.audit.events} events")  # fmt: skip
    for fault in result.faults[:20]:
        say(f"DIFFERS: {fault}")
    if len(result.faults) > 20:
        say(f"... and {len(result.faults) - 20} more")


def _ms(figures: Mapping[str, float | None], name: str) -> str:
    value = figures[name]
    return "-" if value is None else f"{value:,.0f} ms"
