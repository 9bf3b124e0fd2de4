"""The report for people. Pure."""

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Final

from loadtest.bench.ceilings import Ceiling
from loadtest.bench.nearness import Near
from loadtest.bench.ours import NAME
from loadtest.bench.report import FIGURES, Report, Standing, with_partiql
from loadtest.bench.statistics import Spread, over, ratio
from loadtest.bench.subject import GUARANTEES
from loadtest.bench.write_side import BATCHED, SINGLE

_COLUMNS: Final = {
    "commands/s": "per_s",
    "CPU ms/command": "cpu_ms",
    "requests/1,000": "requests",
    "p50 ms": "paced_p50_ms",
    "p99 ms": "paced_p99_ms",
    "burst p50": "burst_p50_ms",
    "burst p99": "burst_p99_ms",
    "servers' CPU": "servers_ms",
}
PER_CALL_WRITE: Final = "per-call write"
_TIMES: Final = {"throughput": "per_s", "CPU": "cpu_ms", "requests": "requests", "p50": "paced_p50_ms", "p99": "paced_p99_ms"}


def render(report: Report) -> str:
    """All tables, one after the other."""
    sizes = report.sizes
    ran = [each for each in report.subjects if each.turns]
    what = (
        f"{sizes.commands:,} commands a round, {report.rounds} rounds, interleaved; median (least-most)",
        f"on {report.backend}, {report.machine['cpus']} CPUs; p50 and p99 from submission to the row, at {sizes.rate:g} commands/s",
    )
    blocks = ["\n".join(what)]
    if ran:
        rows = [[each.name, *(_shown(each.figures[key]) for key in _COLUMNS.values())] for each in ran]
        blocks.append(_table(["", *_COLUMNS], rows))
    others = [each for each in ran if each.ratios]
    if others:
        rows = [[each.name, *(_times(each.ratios.get(key)) for key in _TIMES.values())] for each in others]
        blocks.append("times Headrace's, round by round\n" + _table(["", *_TIMES], rows))
    if ran:
        blocks.append(_table(["guarantees", *GUARANTEES], [[each.name, *(each.guarantees[name] for name in GUARANTEES)] for each in ran]))
    blocks += [_billed(each) for each in ran if all(turn.dollars for turn in each.turns)]
    blocks += _write_side(ran, report.ceilings)
    blocks += _ceilings(report.ceilings, report.near)
    blocks += [f"{each.name} DID NOT RUN: {each.fault}" for each in report.subjects if each.fault]
    return "\n\n".join(blocks)


def _billed(standing: Standing) -> str:
    """Medians over the turns."""
    total, as_run, floor = (median(turn.dollars[name] for turn in standing.turns) for name in ("total", "as run", "floor"))
    return (
        f"{standing.name}: ${total:.3f} per million commands as AWS bills them, {total / floor:.2f} times the write units alone"
        f" (${floor:.3f}); with this backend's append ${as_run:.3f}"
    )


def _write_side(ran: Sequence[Standing], ceilings: dict[str, Ceiling]) -> Iterable[str]:
    """Post to durable append, the read side stopped: beside the one-call-per-command way, and beside the append call alone."""
    turns = {each.name: each.turns for each in ran}
    peer, append = turns.get(PER_CALL_WRITE, ()), ceilings.get("append")
    rows = []
    for name in (SINGLE, BATCHED):
        own = turns.get(name)
        if not own:
            continue
        faster, spent = (ratio(own, peer, figure) for figure in (FIGURES["per_s"], FIGURES["cpu_ms"]))
        reached = over(own, lambda turn: 100 * turn.per_s / append.per_s) if append else None
        needed = over(own, with_partiql)
        rows.append([name, _times(faster), _times(spent), f"{_shown(reached)} %" if reached else "-", _shown(needed)])
    if rows:
        head = ["write side", f"throughput, times {PER_CALL_WRITE}", "CPU, times", "of the append alone", "requests with PartiQL x25"]
        yield _table(head, rows)


def _ceilings(ceilings: dict[str, Ceiling], near: Sequence[Near]) -> Iterable[str]:
    if ceilings:
        rows = [[name, each.does, f"{each.per_s:,.0f}", f"{each.cpu_us:.1f}"] for name, each in ceilings.items()]
        yield _table(["ceiling", "alone", "items/s", "CPU us/item"], rows)
    if near:
        hops = [
            [each.hop, f"{each.cpu_us:.0f}", f"{each.ceiling_us:.0f}", f"{each.percent:.0f} %", " + ".join(each.ceilings)] for each in near
        ]
        yield _table([f"{NAME}'s hop", "CPU us/command", "ceilings'", "near", "made of"], hops)


def _shown(figure: Spread) -> str:
    return f"{_number(figure.median)} ({_number(figure.min)}-{_number(figure.max)})"


def _times(figure: Spread | None) -> str:
    return "-" if figure is None else f"{figure.median:.2f} ({figure.min:.2f}-{figure.max:.2f})"


def _number(value: float) -> str:
    """Three figures' worth."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])
