"""What a load comes to: the object of `headrace load --json`, and a few lines for people."""

import os
import platform
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final

from msgspec import Struct, field

from headrace.audit.findings import Findings

LIBRARIES: Final = ("headrace", "aiobotocore", "msgspec", "redis", "sqlalchemy", "asyncpg", "uvicorn", "uvloop")


class Window(Struct):
    """What was measured: Unix times of the first and last intended start, and of the last projection; seconds of the two spans."""

    began: float
    ended: float
    projected: float
    seconds: float
    drain_seconds: float
    rates: list[float]
    """Asked for, commands a second, by step; with `--rate max` the knee."""


class GeneratorReport(Struct):
    """The generator's own part. `late_share`: of the posts, those that left over 50 ms after they were due by its own fault."""

    processes: int
    cpu_ms: float
    cpu_ms_per_command: float
    late_share: float
    asked_per_s: float
    void: bool
    """It lagged more than one percent: the run says nothing about the stack."""


class Report(Struct):
    """Per-command figures are over accepted commands; rates over the window and its drain. Null where nothing was measured."""

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
    dollars_per_million: float | None
    audit: Findings
    requests_by_call_per_1000: dict[str, float] = field(default_factory=dict)
    requests_by_role: dict[str, dict[str, int]] = field(default_factory=dict)
    dollars: dict[str, float] = field(default_factory=dict)
    """Of the whole run by service, with `total`, `as_run` and `floor`."""
    versions: dict[str, str] = field(default_factory=dict)
    machine: dict[str, str | int] = field(default_factory=dict)
    window: Window | None = None
    generator: GeneratorReport | None = None
    reads: int = 0
    repeats: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    """What is wrong, one line each: a run with any has failed, whatever its speed."""
    unconfirmed: int = 0
    """Of the refused: not confirmed in time, and applied all the same."""


def machine() -> dict[str, str | int]:
    """What it ran on, without naming it."""
    model = platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
        memory = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    except OSError:
        memory = 0
    return {"cpu": model, "cores": os.cpu_count() or 0, "memory_gb": memory, "system": platform.system()}


def versions() -> dict[str, str]:
    """Of Python and of what the roles stand on."""
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}


def say_report(report: Report, say: Callable[[str], None]) -> None:
    """For people."""
    window, generator = report.window, report.generator
    say("")
    if window is not None:
        say(f"{report.backend}: {', '.join(f'{rate:,.0f}' for rate in window.rates)} commands/s asked for {window.seconds:.0f} s,"
            f" then {window.drain_seconds:.1f} s until all was projected")  # fmt: skip
    say(f"{report.posted:,} posted, {report.accepted:,} accepted ({report.accepted_per_s:,.0f}/s), {report.refused:,} refused;"
        f" {report.applied:,} applied, {report.rejected:,} rejected, {report.failed:,} failed, {report.projected:,} projected"
        f" ({report.projected_per_s:,.0f}/s)")  # fmt: skip
    if report.unconfirmed:
        say(f"{report.unconfirmed:,} of the refused were not confirmed in time and applied all the same")
    for name, figures in report.latency_ms.items():
        say(
            f"{'read' if name == 'read' else f'post to {name}':<16} "
            + "   ".join(f"{share} {_ms(figures, share)}" for share in ("p50", "p90", "p99", "max"))
        )
    say(f"{report.requests_per_1000_commands:.1f} AWS requests per 1,000 commands, {report.cpu_ms_per_command:.3f} ms of CPU a command"
        f" over {len(report.cpu_ms)} roles")  # fmt: skip
    if report.dollars_per_million is not None:
        floor = report.dollars.get("floor", 0.0) * 1e6 / max(1, report.accepted)
        say(f"${report.dollars_per_million:.2f} per million commands as AWS bills them (its floor, the write units alone: ${floor:.2f})")
    if generator is not None:
        say(f"generator: {generator.processes} processes, {generator.cpu_ms_per_command:.3f} ms of CPU a command,"
            f" {generator.late_share:.2%} of the posts left late" + (" - VOID" if generator.void else ""))  # fmt: skip
    if report.errors:
        say("answers: " + ", ".join(f"{count} {code}" for code, count in report.errors.items()))
    _say_faults(report, say)


def _say_faults(report: Report, say: Callable[[str], None]) -> None:
    if not report.faults:
        say(f"nothing lost, repeated or out of order; audit clean over {report.audit.streams:,} streams, {report.audit.events:,} events")
    for fault in report.faults[:20]:
        say(f"FAILED: {fault}")
    if len(report.faults) > 20:
        say(f"... and {len(report.faults) - 20} more")


def _ms(figures: Mapping[str, float | None], name: str) -> str:
    value = figures[name]
    return "-" if value is None else f"{value:,.0f} ms"
