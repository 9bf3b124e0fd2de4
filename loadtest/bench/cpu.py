"""CPU time of processes and of all that they started, read from outside."""

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_SCHED: Final = 2
"""CPUCLOCK_SCHED: the clock of a whole process, ended threads included, in nanoseconds; /proc/PID/stat has hundredths of a second."""


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system seconds of these processes, their descendants, and the ended children that they have waited for."""
    return sum(_of_one(pid) for pid in family(pids))


def family(pids: Iterable[int]) -> set[int]:
    """These and all that they started and that still live."""
    found: set[int] = set()
    waiting = list(pids)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += _children(pid)
    return found


def _children(pid: int) -> list[int]:
    """Any thread may have started one."""
    found: list[int] = []
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += [int(child) for child in (thread / "children").read_text().split()]
    except OSError:  # it has ended meanwhile
        return found
    return found


def _of_one(pid: int) -> float:
    try:
        return time.clock_gettime((~pid << 3) | _SCHED) + _of_ended_children(pid)
    except OSError:  # it has ended meanwhile
        return 0.0


def _of_ended_children(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / _TICKS
