"""Fills the page: the report and the series as JSON, and what it takes to draw them, in one text. Pure but for its own files."""

from collections.abc import Sequence
from importlib.resources import files
from itertools import pairwise
from typing import Any, Final

import msgspec

from loadtest.histograms import CURVE, curve, merged
from loadtest.phases import Done
from loadtest.report import Report
from loadtest.series import Series
from loadtest.watch import Look

STAGES: Final = ("rds", "cache")
LATENCIES: Final = ("accepted", "applied", "visible")


def page(report: Report, series: Series, done: Sequence[Done]) -> str:
    """The whole page."""
    parts = {
        "UPLOT_CSS": _file("uplot.css"),
        "UPLOT_JS": _file("uplot.js"),
        "DRAW_JS": _file("draw.js"),
        "STYLE": _file("report.css"),
        "DATA": _json({"report": msgspec.to_builtins(report), "plots": plots(report, series, done)}),
    }
    text = _file("report.html")
    for name, part in parts.items():
        text = text.replace(f"/*{name}*/", part)
    return text


def plots(report: Report, series: Series, done: Sequence[Done]) -> dict[str, Any]:
    """What each plot shows: `at` in seconds from the start of the measurement, and one list a line; null where nothing is known."""
    seconds, looks = series.measured()
    began = report.window.began if report.window else series.began
    roles = sorted({role for look in looks for role in look.cpu_ms})
    figures = [each.latency() for each in seconds]
    pairs = list(pairwise(looks))
    return {
        "rates": {
            "at": [round(look.at - began, 2) for _, look in pairs],
            "accepted": [_rate(one.accepted, two.accepted, one, two) for one, two in pairs],
            "decided": [_rate(one.decided, two.decided, one, two) for one, two in pairs],
            "projected": [_rate(one.projected, two.projected, one, two) for one, two in pairs],
        },
        "backlogs": {
            "at": [round(look.at - began, 2) for look in looks],
            "before the worker": [max(0.0, look.accepted - look.decided) for look in looks],
            "before PostgreSQL": [max(0.0, look.appended - look.projected) for look in looks],
        },
        "lag": {"at": [round(look.at - began, 2) for look in looks], **{name: [look.lag.get(name) for look in looks] for name in STAGES}},
        "latency": {
            "at": [round(each.at - began, 2) for each in seconds],
            **{name: [each[name] for each in figures] for name in ("p50", "p99", "max")},
        },
        "percentiles": {
            "at": list(CURVE),
            **{name: curve(merged([each.latency.get(name, "") for each in done])) for name in LATENCIES},
        },
        "cpu": {
            "at": [round(look.at - began, 2) for _, look in pairs],
            **{role: [_cores(role, one, two) for one, two in pairs] for role in roles},
        },
        "queues": {
            "at": [round(look.at - began, 2) for look in looks],
            **{name: [look.queues.get(name) for look in looks] for name in ("commands", *STAGES)},
        },
        "memory": {
            "at": [round(look.at - began, 2) for look in looks],
            **{role: [look.rss_mb.get(role) for look in looks] for role in roles},
        },
    }


def _rate(before: float, after: float, one: Look, two: Look) -> float | None:
    """A second; null when a role began anew in between."""
    return round((after - before) / (two.at - one.at), 1) if after >= before and two.at > one.at else None


def _cores(role: str, one: Look, two: Look) -> float | None:
    before, after = one.cpu_ms.get(role), two.cpu_ms.get(role)
    if before is None or after is None or after < before or two.at <= one.at:
        return None
    return round((after - before) / 1000 / (two.at - one.at), 3)


def _json(value: Any) -> str:
    """Safe between script tags."""
    return msgspec.json.encode(value).decode().replace("<", "\\u003c")


def _file(name: str) -> str:
    return files("loadtest.page").joinpath(name).read_text(encoding="utf-8")
