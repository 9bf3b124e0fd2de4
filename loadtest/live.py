"""The live view on stderr while a load runs: redrawn in place on a terminal, a line every five seconds elsewhere."""

import sys
import time
from typing import Final

from loadtest.series import Series

EVERY_SECONDS: Final = 5.0
REDRAW_SECONDS: Final = 0.5
WIDTH: Final = 150


class Live:
    """`show` after each look; `end` its line."""

    def __init__(self, series: Series) -> None:
        self._series = series
        self._terminal = sys.stderr.isatty()
        self._shown = time.monotonic()
        self._open = False

    def show(self) -> None:
        """Now, unless it was shown a moment ago."""
        now = time.monotonic()
        if now - self._shown < (REDRAW_SECONDS if self._terminal else EVERY_SECONDS):
            return
        self._shown = now
        text = line(self._series)
        if text:
            sys.stderr.write(f"\r{text[:WIDTH]:<{WIDTH}}" if self._terminal else f"  {text}\n")
            sys.stderr.flush()
            self._open = self._terminal

    def end(self) -> None:
        """What is written next begins a line of its own."""
        if self._open:
            sys.stderr.write("\n")
            self._open = False


def line(series: Series) -> str:
    """The rates over the last second or two, what waits where, and what was refused. Empty before there is anything. Pure."""
    if len(series.looks) < 2 or not series.seconds:
        return ""
    last = series.looks[-1]
    first = next((look for look in series.looks[-6:] if last.at - look.at < 2.5), series.looks[-2])
    seconds = max(0.001, last.at - first.at)
    newest = series.seconds[max(series.seconds)]
    before = series.seconds.get(max(series.seconds) - 1, newest)
    rates = {
        "accepted": last.accepted - first.accepted,
        "decided": last.decided - first.decided,
        "projected": last.projected - first.projected,
    }
    parts = [f"posted {before.posted:,}/s", *(f"{name} {max(0.0, count) / seconds:,.0f}/s" for name, count in rates.items())]
    parts.append(f"in flight {newest.in_flight:,}")
    parts += [f"lag {name} {lag:.1f} s" for name, lag in sorted(last.lag.items())]
    parts.append(
        "queues " + " ".join(f"{name} {depth}" for name, depth in last.queues.items() if depth) if any(last.queues.values()) else ""
    )
    refused = sum(each.refused for each in series.seconds.values())
    parts.append(f"refused {refused:,}" if refused else "")
    return "  ".join(part for part in parts if part)
