"""Latencies as HdrHistograms of microseconds: three digits, up to ten minutes; the same in every process, so that they add up."""

from typing import Final

from hdrh.histogram import HdrHistogram

LONGEST: Final = 600_000_000
PERCENTILES: Final = {"p50": 50.0, "p90": 90.0, "p99": 99.0}
CURVE: Final = (0, 10, 25, 50, 75, 90, 95, 97.5, 99, 99.5, 99.75, 99.9, 99.95, 99.99, 100)


def histogram() -> HdrHistogram:
    """An empty one."""
    return HdrHistogram(1, LONGEST, 3)


def record(into: HdrHistogram, seconds: float) -> None:
    """One latency."""
    into.record_value(min(LONGEST, max(1, int(seconds * 1_000_000))))


def encoded(each: HdrHistogram) -> str:
    """For a line of JSON."""
    return bytes(each.encode()).decode()


def merged(many: list[str]) -> HdrHistogram:
    """All of them together."""
    whole = histogram()
    for each in many:
        if each:
            whole.decode_and_add(each.encode())
    return whole


def figures(each: HdrHistogram) -> dict[str, float | None]:
    """p50, p90, p99 and max in milliseconds; null where nothing was measured."""
    if not each.get_total_count():
        return dict.fromkeys((*PERCENTILES, "max"))
    found: dict[str, float | None] = {name: round(each.get_value_at_percentile(share) / 1000, 1) for name, share in PERCENTILES.items()}
    found["max"] = round(each.get_max_value() / 1000, 1)
    return found


def curve(each: HdrHistogram) -> list[float | None]:
    """Milliseconds at each percentile of CURVE."""
    if not each.get_total_count():
        return [None] * len(CURVE)
    return [round(each.get_value_at_percentile(share) / 1000, 2) for share in CURVE]
