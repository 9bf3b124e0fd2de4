"""Percentiles of what the callers measured."""

from collections.abc import Sequence
from typing import Final

_SHARES: Final = {"p50": 0.50, "p90": 0.90, "p99": 0.99}


def percentiles(seconds: Sequence[float]) -> dict[str, float | None]:
    """In milliseconds; null where nothing was measured."""
    ordered = sorted(seconds)
    if not ordered:
        return dict.fromkeys(("p50", "p90", "p99", "max"))
    found: dict[str, float | None] = {name: ordered[min(len(ordered) - 1, int(len(ordered) * share))] for name, share in _SHARES.items()}
    found["max"] = ordered[-1]
    return {name: round(value * 1000, 1) if value is not None else None for name, value in found.items()}
