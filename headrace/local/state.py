"""What is written down about a stack: the state folder's `stack.json`, and the lock that says whether the stack lives."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from headrace.errors import WrongUse

FORMAT: Final = 1
DEFAULT: Final = ".headrace"


class Part(msgspec.Struct, frozen=True):
    """One part of a stack. `given`: a server that is not ours. `pid` is null for such, and while a part is down."""

    name: str
    role: str
    pid: int | None
    url: str
    probe: str
    restarts: int = 0
    given: bool = False


class Stack(msgspec.Struct, frozen=True):
    """The stack of a state folder, as its supervisor last wrote it.

    `phase`: starting, ready, draining, stopped. `outside`: our folder in the temporary directory, when PostgreSQL needs
    one. `environment`: what a process needs to find the servers.
    """

    supervisor: int
    phase: str = "starting"
    backend: str = ""
    gateway: str = ""
    outside: str | None = None
    environment: dict[str, str] = {}
    parts: tuple[Part, ...] = ()
    format: int = FORMAT


def folder_of(asked: str | None) -> Path:
    """The state folder: as asked for, else HEADRACE_STATE, else `.headrace` of the current folder; absolute."""
    return Path(asked or os.environ.get("HEADRACE_STATE") or DEFAULT).absolute()


def read(state: Path) -> Stack | None:
    """The stack written down in this folder; None where there is none. Raises WrongUse on what is not ours to read."""
    try:
        text = (state / "stack.json").read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        found = msgspec.json.decode(text, type=Stack)
    except msgspec.DecodeError as exc:
        raise WrongUse(f"{state / 'stack.json'} cannot be read: {exc}") from exc
    if found.format != FORMAT:
        raise WrongUse(f"{state / 'stack.json'} has format {found.format}, this Headrace reads {FORMAT}")
    return found


def write(state: Path, stack: Stack) -> None:
    """Replace what is written down, at once as a whole; for the owner's eyes, since a URL may hold a password."""
    draft = state / "stack.json.draft"
    draft.touch(mode=0o600)
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(stack)) + b"\n")
    draft.replace(state / "stack.json")


@contextmanager
def owned(state: Path) -> Iterator[None]:
    """Be the one supervisor of this folder. The lock goes with the process, however that ends. Raises WrongUse."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("a") as file:
        for wait in (0.1, 0.2, 0.4, None):  # `is_live` of another process may hold it for a moment
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as exc:
                if wait is None:
                    other = "see `headrace status`, or choose another --state"
                    raise WrongUse(f"a stack is up in {state} ({other})") from exc
                time.sleep(wait)
        yield


def is_live(state: Path) -> bool:
    """Whether a supervisor owns this folder now."""
    try:
        file = (state / "lock").open("r")
    except (FileNotFoundError, NotADirectoryError):
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def live(state: Path) -> Stack | None:
    """The stack that is up in this folder, if one is."""
    return read(state) if is_live(state) else None


def environment(state: Path) -> dict[str, str]:
    """Where the servers of the live stack of this folder are, as settings; empty when none is up."""
    found = live(state)
    return dict(found.environment) if found else {}
