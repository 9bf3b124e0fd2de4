"""Small real stand-ins for a gateway's ports, and a gateway on them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec

from events.domain import Registry
from events.envelope import Command, Commit
from events.ids import EMPTY, StreamId, Version
from events.memory_store import MemoryStore
from events.outcome import Kept, Notice, Outcome
from events.parcel import read_commands
from gateway.amqp.line import Broker
from gateway.command_queue import Message, Sent
from gateway.composition import Gateway, Ports, running
from gateway.memory import Claim, Known
from gateway.outcomes import Notices
from gateway.preparing import Prepared
from readmodel.answers import Answer, CommentPage, CommentView, PictureView
from readmodel.comments.domain import DOMAIN
from readmodel.feed_reading import Changes
from readmodel.holds import Hold
from readmodel.pages import Page
from runtime.errors import Retryable
from runtime.stack import Facts

CommandKey = tuple[str, str]


class FakeQueue:
    """Takes everything, unless told otherwise; `delay` is the time of a call."""

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay
        self.calls: list[list[Message]] = []
        self.taken: list[Command] = []
        self.decide: Callable[[Sequence[Message]], list[Sent]] | None = None
        self.open = asyncio.Event()
        self.open.set()

    async def send(self, messages: Sequence[Message]) -> list[Sent]:
        self.calls.append(list(messages))
        await self.open.wait()
        if self.delay:
            await asyncio.sleep(self.delay)
        answers = self.decide(messages) if self.decide else [Sent.YES] * len(messages)
        for message, answer in zip(messages, answers, strict=True):
            if answer is Sent.YES:
                self.taken += read_commands(message.body).commands
        return answers


class FakeMemory:
    """A dictionary; `away` is Redis not answering."""

    def __init__(self) -> None:
        self.away = False
        self.claims: dict[tuple[str, str, str], str] = {}
        self.entries: dict[CommandKey, dict[str, Kept | None]] = {}
        self.repeats: set[str] = set()
        self.age = 100.0

    async def claim(self, commands: Sequence[Command]) -> list[Claim]:
        return [Claim(each.fingerprint) if self.away else self._claim(each) for each in commands]

    def _claim(self, command: Command) -> Claim:
        key = (command.stream, command.actor, command.id)
        held = self.claims.get(key)
        kept = self.entries.get((command.stream, command.id), {}).get(command.actor)
        mine = kept.outcome() if kept and kept.answers(command.fingerprint) else None
        return Claim(self.claims.setdefault(key, command.fingerprint), held is not None, mine)

    def keep(self, command: Command, outcome: Outcome) -> None:
        """As a worker does."""
        notice = Notice(command.stream, command.actor, command.id, command.fingerprint, outcome)
        self.entries.setdefault((command.stream, command.id), {})[command.actor] = notice.kept()

    async def mark(self, accepted: Sequence[Prepared]) -> None:
        if not self.away:
            for each, key_given in ((each.command, each.key_given) for each in accepted):
                self.entries.setdefault((each.stream, each.id), {}).setdefault(each.actor, None)
                if key_given:
                    self.repeats.add(each.actor)

    async def known(self, stream: str, command_id: str) -> Known | None:
        return None if self.away else Known(self.entries.get((stream, command_id), {}), self.age, self.repeats)


class FakeNotices:
    """Notices by hand."""

    def __init__(self) -> None:
        self.away = False
        self._receive: Callable[[bytes], None] | None = None

    async def listen(self, receive: Callable[[bytes], None], listening: Callable[[], None]) -> None:
        if self.away:
            raise ConnectionError
        self._receive = receive
        listening()
        await asyncio.Event().wait()

    def tell(self, command: Command, outcome: Outcome) -> None:
        notice = Notice(command.stream, command.actor, command.id, command.fingerprint, outcome)
        if self._receive:
            self._receive(msgspec.json.encode([notice]))


@dataclass
class FakeReads:
    """Answers what it was given, and keeps what it was asked."""

    value: Any = None
    source: str = "cache"
    version: int | None = None
    wrong: Exception | None = None
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    async def comment(self, comment_id: str, hold: Hold) -> Answer[CommentView]:
        return self._answer(comment_id, hold)

    async def picture(self, picture_id: str, hold: Hold) -> Answer[PictureView]:
        return self._answer(picture_id, hold)

    async def comments(self, picture_id: str, page: Page, hold: Hold) -> Answer[CommentPage]:
        return self._answer(picture_id, page, hold)

    async def projected(self, stream: StreamId, version: Version) -> dict[str, bool]:
        self.asked.append((stream, version))
        return {"rds": True, "cache": False}

    def _answer(self, *asked: Any) -> Answer[Any]:
        self.asked.append(asked)
        if self.wrong is not None:
            raise self.wrong
        return Answer(self.value, self.source, self.version)


class Away(Retryable):
    """A dependency that is not there."""


class FakeStore(MemoryStore):
    """The reference store, with a switch."""

    away = False

    async def load(self, stream: StreamId, after: Version = EMPTY) -> list[Commit]:
        if self.away:
            raise Away
        return await super().load(stream, after)


@dataclass
class World:
    """A running gateway with everything around it."""

    gateway: Gateway
    client: httpx.AsyncClient
    queue: FakeQueue
    memory: FakeMemory
    notices: FakeNotices
    reads: FakeReads
    store: FakeStore
    checks: dict[str, Any]

    async def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> httpx.Response:
        return await self.client.post(path, json=body, headers=headers)


async def until(condition: Callable[[], object]) -> None:
    """Let the others run until it holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - whatever is waited for is no event, and should not have to be one
            await asyncio.sleep(0)


REGISTRY = Registry([DOMAIN])


@asynccontextmanager
async def world(
    partitions: int = 4,
    delay: float = 0.0,
    facts: Facts | None = None,
    broker: Broker | None = None,
    changes: tuple[Changes, Notices] | None = None,
) -> AsyncIterator[World]:
    """Everything in memory; the caller speaks ASGI, or through the broker."""
    queue, memory, notices, reads, store = FakeQueue(delay), FakeMemory(), FakeNotices(), FakeReads(), FakeStore()
    checks: dict[str, Any] = {}
    ports = Ports(
        queue, store, REGISTRY, memory, notices, reads, reads.projected, checks, partitions, facts=facts, broker=broker, changes=changes
    )
    async with running(ports) as gateway:
        transport = httpx.ASGITransport(app=gateway.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            await asyncio.sleep(0)
            yield World(gateway, client, queue, memory, notices, reads, store, checks)
