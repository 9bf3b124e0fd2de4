"""Pages of commits into whole streams. Pure.

In practice a scan gives a stream's commits together and in order; nothing promises it. So a stream counts as whole when its commits
came one behind the other from version 1 on, and as `odd` when anything of it came otherwise: odd ones are read by themselves.
"""

from collections.abc import Iterable
from typing import NamedTuple

from events.envelope import Commit
from events.ids import StreamId


class Assembled(NamedTuple):
    """`whole`: each stream's commits in order, from version 1; `odd`: of which something came out of its place."""

    whole: list[list[Commit]]
    odd: set[StreamId]


class Assembly:
    """Of one segment. What it holds is one stream: the one whose end has not been seen."""

    def __init__(self) -> None:
        self._open: list[Commit] = []

    def take(self, commits: Iterable[Commit]) -> Assembled:
        """A page, in the order of the scan."""
        done = Assembled([], set())
        held = self._open
        for commit in commits:
            if held and commit.stream == held[-1].stream:
                if commit.first == held[-1].last + 1 and commit.previous == held[-1].first:
                    held.append(commit)
                else:
                    done.odd.add(commit.stream)
                continue
            if held:
                done.whole.append(held)
            held = [commit] if commit.first == 1 and commit.previous == 0 else []
            if not held:
                done.odd.add(commit.stream)
        self._open = held
        return done

    def end(self) -> Assembled:
        """The scan is over."""
        held, self._open = self._open, []
        return Assembled([held] if held else [], set())
