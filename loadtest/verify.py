"""I1 and order, from the generators' own history against the event store: nothing lost, nothing twice, nothing out of order."""

import asyncio
from array import array
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import aiohttp
from msgspec import Struct, field
from sqlalchemy import select

from events.envelope import Commit
from events.store import EventStore
from loadtest.script import State
from readmodel.comments.tables import COMMENTS
from readmodel.control import CACHE, POSITIONS
from readmodel.database import AUDITING, database_errors, open_database
from runtime.settings import Settings

ASK_AT_ONCE: Final = 16
ASKED: Final = 500
"""At most; a run that lost more has failed anyway."""
WAIT_SECONDS: Final = 30
STREAM: Final = "comment-"


class Journal(NamedTuple):
    """What a generator knows of its commands, by number."""

    states: bytes
    targets: Sequence[int]
    """Of each command, the number of the one that created its comment."""


class Window(NamedTuple):
    """A measured phase of one generator: its commands from `first` up to `last`."""

    worker: int
    first: int
    last: int


class Asking(NamedTuple):
    """How a command's status is asked."""

    http: aiohttp.ClientSession
    gateway: str


class Verdict(Struct):
    """Of the measured commands what became of them; of all commands what is wrong."""

    applied: int = 0
    unconfirmed: int = 0
    """Answered 503, since SQS did not confirm them in time, and applied all the same."""
    rejected: int = 0
    failed: int = 0
    projected: int = 0
    """Applied, and passed by both projectors."""
    faults: list[str] = field(default_factory=list)


class Positions(NamedTuple):
    """Versions that the projectors have passed, by stream."""

    rds: dict[str, int]
    cache: dict[str, int]

    def of(self, stream: str) -> int:
        return min(self.rds.get(stream, 0), self.cache.get(stream, 0))


def read_journal(path: Path) -> Journal:
    """As the generator left it. Raises OSError."""
    raw = path.read_bytes()
    count = len(raw) // (1 + array("I").itemsize)
    targets = array("I")
    targets.frombytes(raw[count:])
    return Journal(raw[:count], targets)


class Stored:
    """What the event store holds of one run. Feed it pages; then `order` and `versions`."""

    def __init__(self, run: str) -> None:
        self._prefix = f"{run}-"
        self._commits: dict[str, list[tuple[int, list[tuple[int, int]]]]] = {}

    def absorb(self, page: Iterable[Commit]) -> None:
        """Commits in any order."""
        for commit in page:
            if commit.stream.startswith(STREAM + self._prefix):
                numbers = [self._number(each.command_id) for each in commit.recorded()]
                self._commits.setdefault(commit.stream, []).append((commit.first, numbers))

    def _number(self, command_id: str) -> tuple[int, int]:
        """(worker, number) of a key."""
        worker, _, number = command_id.removeprefix(self._prefix).partition("-")
        return int(worker), int(number)

    def streams(self) -> Iterable[tuple[str, list[tuple[int, int]]]]:
        """Each stream's commands in the order of its versions."""
        for stream, commits in self._commits.items():
            yield stream, [number for _, numbers in sorted(commits) for number in numbers]


def check(
    stored: Stored, journals: Mapping[int, Journal], windows: Sequence[Window], passed: Positions
) -> tuple[Verdict, list[tuple[int, int]]]:
    """The verdict so far, and the accepted commands that the store does not hold: their status must be asked. Pure."""
    verdict = Verdict()
    found: dict[int, bytearray] = {worker: bytearray(len(journal.states)) for worker, journal in journals.items()}
    for stream, commands in stored.streams():
        before = -1
        position = passed.of(stream)
        for version, (worker, number) in enumerate(commands, 1):
            if number <= before:
                verdict.faults.append(f"order {stream}: command {number} stands after {before}")
            before = number
            if found[worker][number]:
                verdict.faults.append(f"twice {stream}: command {number} acted more than once")
            found[worker][number] = 2 if version <= position else 1
    missing: list[tuple[int, int]] = []
    for worker, journal in journals.items():
        for number, state in enumerate(journal.states):
            if state == State.ACCEPTED and not found[worker][number]:
                missing.append((worker, number))
    for window in windows:
        part = slice(window.first, window.last)
        there = Counter(zip(journals[window.worker].states[part], found[window.worker][part], strict=True))
        verdict.applied += there[State.ACCEPTED, 1] + there[State.ACCEPTED, 2]
        verdict.projected += there[State.ACCEPTED, 2]
        verdict.unconfirmed += sum(count for (state, acted), count in there.items() if acted and state != State.ACCEPTED)
    return verdict, missing


class History(NamedTuple):
    """What the generators of one run know."""

    run: str
    journals: Mapping[int, Journal]
    windows: Sequence[Window]


async def verify(store: EventStore, settings: Settings, history: History, asking: Asking) -> Verdict:
    """Everything."""
    stored = Stored(history.run)
    async for page in store.scan():
        stored.absorb(page)
    verdict, missing = check(stored, history.journals, history.windows, await positions(settings, history.run))
    statuses = await _statuses(history, missing, asking)
    for (worker, number), status in zip(missing, statuses, strict=True):
        if status not in {"rejected", "failed"}:
            verdict.faults.append(f"I1 {history.run}-{worker}-{number}: accepted, not in the store, and its status is {status}")
        elif any(each.worker == worker and each.first <= number < each.last for each in history.windows):
            setattr(verdict, status, getattr(verdict, status) + 1)
    return verdict


async def positions(settings: Settings, run: str) -> Positions:
    """Of this run's streams."""
    mine = f"{STREAM}{run}-%"
    rds = select(COMMENTS.c.comment_id, COMMENTS.c.version).where(COMMENTS.c.comment_id.like(f"{run}-%"))
    cache = select(POSITIONS.c.stream, POSITIONS.c.version).where(POSITIONS.c.projector == CACHE, POSITIONS.c.stream.like(mine))
    with database_errors():
        async with open_database(settings, AUDITING) as database, database.engine.connect() as connection:
            in_rds = {f"{STREAM}{ident}": version for ident, version in (await connection.execute(rds)).tuples()}
            in_cache = {stream: version for stream, version in (await connection.execute(cache)).tuples()}  # noqa: C416 - rows are no dict
    return Positions(in_rds, in_cache)


async def _statuses(history: History, missing: Sequence[tuple[int, int]], asking: Asking) -> list[str]:
    run, answers = history.run, dict[tuple[int, int], str]()
    waiting = deque(missing[:ASKED])

    async def ask() -> None:
        while waiting:
            worker, number = waiting.popleft()
            stream = f"{STREAM}{run}-{worker}-{history.journals[worker].targets[number]}"
            path = f"/commands/{run}-{worker}-{number}?stream={stream}&wait={WAIT_SECONDS}"
            answers[worker, number] = await _status(asking.http, asking.gateway + path)

    async with asyncio.TaskGroup() as group:
        for _ in range(ASK_AT_ONCE):
            group.create_task(ask())
    return [answers.get(each, "not asked: too many are missing") for each in missing]


async def _status(http: aiohttp.ClientSession, url: str) -> str:
    try:
        async with http.get(url) as answer:
            body = await answer.json(content_type=None)
            return str(body.get("status" if answer.status == 200 else "code"))
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as wrong:
        return type(wrong).__name__
