"""What a stack is made of: programs, each a process of its own with an address, a probe and a log."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Account:
    """The user a program is run as, when that is not the caller."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Program:
    """A server or a role, ready to be started. Starting it twice one after the other gives the same address.

    `url` is what others use; `probe` is what tells that it is ready (see `probes.answers`). `dying_signal` is what the
    kernel sends it when its supervisor was killed outright; `start_seconds` bounds the time to its first readiness.
    """

    name: str
    role: str
    argv: tuple[str, ...]
    url: str
    probe: str
    log: Path
    folder: Path
    environment: Mapping[str, str]
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    dying_signal: signal.Signals = signal.SIGKILL
    start_seconds: float = 60.0
