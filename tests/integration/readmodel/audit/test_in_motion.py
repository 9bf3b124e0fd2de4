"""What is under way is no difference: late arrivals, what is written while an audit reads, and a redrive half way."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from docs.examples import comments_per_author
from events.comments.events import CommentCreated, CommentUpdated
from events.domain import Registry
from headrace.audit import checking, reading
from headrace.audit.checking import audit
from headrace.audit.findings import Findings
from headrace.audit.progress import Progress, Told
from headrace.audit.rows import Rows
from readmodel.database import PROJECTING, open_database
from readmodel.pages import Page
from readmodel.projecting import Projecting
from readmodel.schema import migrate
from runtime.lifecycle import pause
from tests.integration.readmodel.audit.corruptions import park
from tests.integration.readmodel.audit.ground import Ground, life, picture_of, stream_of
from tests.integration.readmodel.conftest import write
from tests.unit.readmodel.commits import chain, delivery, stored


class Watched(Progress):
    """Tells when an audit begins to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = asyncio.Event()

    @contextmanager
    def waiting(self, what: str) -> Iterator[Told]:  # noqa: ARG002 - as Progress has it
        self.waits.set()
        yield lambda _: None


async def test_what_arrives_while_it_waits_is_no_difference(ground: Ground) -> None:
    await ground.live("whole")
    await ground.begin("late", 1)
    await ground.begin("parked", 1)
    watched = Watched()

    async def arrive() -> None:
        await watched.waits.wait()
        await write(ground.house, *life("late")[1:])
        await park(ground, "parked", "projection_failed", 2)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(arrive())
        async with asyncio.timeout(60):
            findings = await audit(ground.house.settings, 3600, watched)
    assert (findings.ok, findings.pending, findings.parked, findings.discarded) == (True, 0, 1, 0)
    assert (findings.streams, findings.events) == (3, 12)


async def test_what_is_written_after_the_store_was_read_is_read_too(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    await ground.live("before")
    await write(ground.house, *life("half")[:2])
    read = reading.read_all
    long = chain(stream_of("long"), [CommentCreated(picture_of("long"), "ann", "a"), *(CommentUpdated(str(n)) for n in range(14))])

    async def and_then(*given: Any, **named: Any) -> None:
        await read(*given, **named)
        await ground.live("after")
        await write(ground.house, *life("half")[2:], *long)

    monkeypatch.setattr(checking, "read_all", and_then)
    findings = await audit(ground.house.settings, 1)
    assert (findings.differences, findings.streams, findings.events) == ([], 4, 12 + 15)


async def test_an_audit_of_a_stack_in_motion_is_clean(ground: Ground) -> None:
    """Writers, projectors that lag, and readers who fill the cache, all the while."""
    house, chance = ground.house, random.Random(7)
    stop = asyncio.Event()
    waiting: list[Any] = []
    written = 0

    async def writer() -> None:
        nonlocal written
        while not await pause(stop, 0.02):
            updates = [CommentUpdated(str(n)) for n in range(chance.randrange(4))]
            for each in chain(stream_of(f"moving{written}"), [CommentCreated(f"shared{written % 3}", "ann", "first"), *updates]):
                waiting.extend(await stored(house.store, each))
            written += 1

    async def projector() -> None:
        while not await pause(stop, 0.2):
            commits, waiting[:] = waiting[:], []
            chance.shuffle(commits)
            message = delivery(*commits)
            if commits:
                assert (await house.rds.handle([message])).done == [message]
                assert (await house.followed.handle([message])).done == [message]

    async def reader() -> None:
        while not await pause(stop, 0.01):
            await house.reads.comment(f"moving{chance.randrange(written + 1)}")
            await house.reads.picture(f"shared{chance.randrange(3)}")
            await house.reads.comments(f"shared{chance.randrange(3)}", Page())

    async with asyncio.TaskGroup() as tasks:
        for work in (writer(), projector(), reader()):
            tasks.create_task(work)
        found = [await audit(house.settings, 30) for _ in range(2)]
        stop.set()
    assert [(each.differences, each.pending) for each in found] == [([], 0), ([], 0)]
    assert found[1].streams > found[0].streams > 0


async def test_a_park_that_is_gone_or_moves_on_was_being_redriven(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    await ground.live("gone", "moves", "stands")
    for name in ("gone", "moves", "stands"):
        await ground.sql("UPDATE comments SET version = 3, commit_first = 2, head_id = 'c3' WHERE stream = :s", s=stream_of(name))
        await park(ground, name, "projection_failed", 2)
    confirm = Rows.confirm

    async def later(self: Rows, now: Any) -> None:
        await ground.sql("DELETE FROM headrace.parked WHERE stream = :s", s=stream_of("gone"))
        await ground.sql("UPDATE comments SET version = 4, commit_first = 4, head_id = 'c4' WHERE stream = :s", s=stream_of("moves"))
        await confirm(self, now)

    monkeypatch.setattr(Rows, "confirm", later)
    findings = await audit(ground.house.settings, 0)
    assert [each.stream for each in findings.differences if each.invariant == "I5"] == [stream_of("stands")]


async def test_discarded_parks_are_counted_apart(ground: Ground) -> None:
    for name in ("parked", "discarded"):
        await ground.begin(name, 1)
        await park(ground, name, "projection_failed", 2)
    await ground.sql("UPDATE headrace.parked SET discarded_at = now() WHERE stream = :s", s=stream_of("discarded"))
    findings = await audit(ground.house.settings, 0)
    assert (findings.ok, findings.parked, findings.discarded, findings.pending) == (True, 1, 1, 0)


async def test_projections_without_a_home_table_are_held_to_their_own_positions(ground: Ground) -> None:
    registry = Registry([comments_per_author.DOMAIN])
    settings = replace(ground.house.settings, domain="docs.examples.comments_per_author:DOMAIN")
    await migrate(settings, registry)
    await ground.live("one", "two")

    async def said() -> list[tuple[str, str]]:
        findings: Findings = await audit(settings, 0)
        return [(each.invariant, each.stream) for each in findings.differences]

    assert await said() == [("I4", stream_of("one")), ("I4", stream_of("two"))]
    async with open_database(settings, PROJECTING) as database:
        await Projecting(database, registry, ground.house.store).catch_up([stream_of("one"), stream_of("two")])
    assert await said() == []
    await ground.sql("UPDATE comments_per_author SET comments = 3")
    await ground.sql("UPDATE positions SET head_id = 'x' WHERE projector = 'comments_per_author' AND stream = :s", s=stream_of("two"))
    assert await said() == [("I5", stream_of("two")), ("I6", "comments_per_author ann")]


async def test_a_stream_of_no_domain_here_must_be_parked(ground: Ground) -> None:
    await ground.live("whole")
    await stored(ground.house.store, *(replace_stream(each) for each in life("other")))
    findings = await audit(ground.house.settings, 0)
    assert {(each.invariant, each.stream) for each in findings.differences} == {("I4", "invoice-1")}
    message = delivery(*(replace_stream(each) for each in life("other")))
    assert (await ground.house.rds.handle([message])).done == [message]
    findings = await audit(ground.house.settings, 0)
    assert (findings.differences, findings.parked) == ([], 1)
    async with ground.house.database.engine.connect() as connection:
        assert (await connection.execute(text("SELECT projector FROM headrace.parked"))).scalar_one() == "rds"


def replace_stream(commit: Any) -> Any:
    return type(commit)("invoice-1", commit.first, commit.last, commit.previous, commit.events)
