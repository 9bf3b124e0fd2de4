"""What one projector of the read model gets through: `python -m loadtest.projecting`, on servers of its own.

First the queue `rds` is filled with `--events` events of the mix create=70, update=20, delete=10 in people's texts, one event a commit, in
parcels as the relay packs them of full pages; nobody reads it yet. Then one projector process is started, and timed from outside: from
its first event in PostgreSQL to its last, and its CPU from `/proc` (the process alone; PostgreSQL and the emulator stand beside it). Told
are events a second and microseconds of CPU an event, round by round and as medians. Every round has a database and a queue of its own, and
ends with the counts compared with what was sent.
"""

import argparse
import asyncio
import os
import secrets
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Final, NamedTuple

import asyncpg
import msgspec
from msgspec import Raw

from events.comments.events import CommentCreated, CommentDeleted, CommentUpdated
from events.domain import Registry
from events.envelope import Commit, Recorded
from events.ids import CommandId, Fingerprint, StreamId, Version
from headrace.errors import StackFailed, WrongUse
from headrace.local.ports import free_port
from headrace.local.process import start, stop
from headrace.local.roles import RoleSpec, our_command, role_program
from headrace.local.servers import aws, postgres, redis
from headrace.metering import cpu_ms
from headrace.provision import provision
from loadtest.ground import Found, carried_out, say
from loadtest.script import Ask, Kind, Script, Shape
from readmodel.domains import registry
from runtime import logs
from runtime.aws import aws_errors, open_aws
from runtime.settings import Settings, load
from runtime.stack import Stack
from runtime.times import Micros
from workers.packing import Page, plan

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

PAGE: Final = 1_000
"""Records that one GetRecords gives the relay."""
LIMIT_SECONDS: Final = 300.0
LOOK_SECONDS: Final = 0.02
SEEN: Final = "SELECT coalesce(sum(revision), 0)::bigint FROM rds_1.pictures"
"""Every event raises its picture's revision by one."""


class Round(NamedTuple):
    """Events a second, and microseconds of the projector's CPU an event."""

    per_s: float
    cpu_us: float


def commits(events: int, seed: int, domains: Registry) -> Iterator[tuple[Commit, int]]:
    """(commit, by how much it changes the number of comments); the same for the same seed. Pure but for the clock of its times."""
    script, began = Script(Shape(), seed), time_ns() // 1000
    heads: dict[int, tuple[int, int]] = {}
    for count in range(events):
        ask = script.next()
        version, previous = heads.get(ask.comment, (0, 0))
        heads[ask.comment] = (version + 1, version + 1)
        yield _commit(ask, (version, previous), Micros(began + count * 200), domains), {Kind.CREATE: 1, Kind.DELETE: -1}.get(ask.kind, 0)
        script.accepted(ask)


def _commit(ask: Ask, after: tuple[int, int], at: Micros, domains: Registry) -> Commit:
    author, text = f"load-{ask.author}", ask.text.decode()
    event: CommentCreated | CommentUpdated | CommentDeleted
    if ask.kind is Kind.CREATE:
        event = CommentCreated(f"picture-{ask.picture}", author, text)
    else:
        event = CommentUpdated(text) if ask.kind is Kind.UPDATE else CommentDeleted()
    name, data = domains.write(event)
    recorded = Recorded(name, data, at, author, CommandId(f"load-{ask.number:032x}"), Fingerprint(f"{ask.number:016x}"))
    version, previous = after
    first = Version(version + 1)
    return Commit(StreamId(f"comment-load-{ask.comment:020x}"), first, first, Version(previous), Raw(msgspec.json.encode([recorded])))


async def _fill(sqs: "SQSClient", facts: Stack, events: int, seed: int, domains: Registry) -> int:
    """Into the queue, in order a group. Returns how many comments are left."""
    left, page = 0, list[Commit]()
    for commit, change in commits(events, seed, domains):
        left += change
        page.append(commit)
        if len(page) == PAGE:
            await _send(sqs, facts, page)
            page = []
    await _send(sqs, facts, page)
    return left


async def _send(sqs: "SQSClient", facts: Stack, page: list[Commit]) -> None:
    for calls in plan(Page(page, [], 0)):
        for call in calls:
            entries = [
                {"Id": str(n), "MessageBody": each.body, "MessageGroupId": f"p{each.partition}", "MessageDeduplicationId": each.once}
                for n, each in enumerate(call)
            ]
            with aws_errors():
                answer = await sqs.send_message_batch(QueueUrl=facts.queues["rds"], Entries=entries)  # type: ignore[arg-type]
            if answer.get("Failed"):
                raise StackFailed("the queue did not take everything")


@asynccontextmanager
async def _database(url: str, name: str) -> AsyncIterator[str]:
    plain = await asyncpg.connect(url)
    try:
        await plain.execute(f'CREATE DATABASE "{name}"')
        yield url.rpartition("/")[0] + "/" + name
        await plain.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await plain.close()


async def _round(base: Settings, folder: Path, events: int, seed: int) -> Round:
    name = f"proj{secrets.token_hex(3)}"
    async with _database(base.database_url, name) as url:
        settings = replace(base, database_url=url, stack=name)
        facts = await provision(settings)
        async with open_aws(settings) as opened:
            comments = await _fill(await opened.sqs(), facts, events, seed, registry(settings))
        return await _measured(settings, folder, events, comments)


async def _measured(settings: Settings, folder: Path, events: int, comments: int) -> Round:
    told = {
        "AWS_ENDPOINT_URL": settings.aws_endpoint_url or "",
        "HEADRACE_DATABASE_URL": settings.database_url,
        "HEADRACE_REDIS_URL": settings.redis_url,
        "HEADRACE_STACK": settings.stack,
    }
    program = role_program(RoleSpec("projector-rds", our_command("run", "projector-rds")), free_port(), os.environ | told, folder / "log")
    connection = await asyncpg.connect(settings.database_url)
    process = await start(program)
    try:
        began, seen = await _seen(connection, 1)
        used = cpu_ms(process.pid)
        ended, _ = await _seen(connection, events)
        used = cpu_ms(process.pid) - used
        left = await connection.fetchval("SELECT count(*) FROM rds_1.comments WHERE NOT deleted")
        if left != comments:
            raise StackFailed(f"{left} comments are left, not {comments}")
    finally:
        await connection.close()
        await stop(process, signal.SIGTERM, 25.0)
    return Round((events - seen) / (ended - began), used * 1000 / (events - seen))


async def _seen(connection: "asyncpg.Connection", events: int) -> tuple[float, int]:
    """(when, how many) so many events, or more, were first seen in PostgreSQL."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while (seen := await connection.fetchval(SEEN)) < events:  # noqa: ASYNC110 - looked at from outside, as a query would
            await asyncio.sleep(LOOK_SECONDS)
    return monotonic(), seen


async def measure(backend: str, events: int, rounds: int) -> Found:
    """Everything. Raises WrongUse, StackFailed."""
    if events < 2 * PAGE or rounds < 1:
        raise WrongUse(f"--events at least {2 * PAGE}, --rounds at least 1")
    logs.configure("json", "loadtest")
    found: list[Round] = []
    async with AsyncExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        endpoint = await opened.enter_async_context(aws(folder / "aws", backend))
        database_url = await opened.enter_async_context(postgres(folder / "postgres"))
        redis_url = await opened.enter_async_context(redis(folder / "redis"))
        os.environ.setdefault("AWS_ACCESS_KEY_ID", "test")
        os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "test")
        base = load({"AWS_ENDPOINT_URL": endpoint, "HEADRACE_DATABASE_URL": database_url, "HEADRACE_REDIS_URL": redis_url})
        for number in range(1, rounds + 1):
            found.append(await _round(base, folder, events, number))
            say(f"round {number}: {found[-1].per_s:,.0f} events/s, {found[-1].cpu_us:.1f} us of CPU an event")
    middle = Round(*(median(each) for each in zip(*found, strict=True)))
    return {
        "backend": backend,
        "events": events,
        "rounds": [each._asdict() for each in found],
        "events_per_s": round(middle.per_s),
        "cpu_us_per_event": round(middle.cpu_us, 1),
        "faults": [],
    }


def told(found: Found) -> str:
    """For people."""
    return (
        f"one projector on {found['backend']}: {found['events_per_s']:,} events/s into PostgreSQL,"
        f" {found['cpu_us_per_event']} us of CPU an event; medians of {len(found['rounds'])} rounds of {found['events']:,} events"
    )


def main() -> int:
    """Exit 1 when something is missing at the end."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.projecting", description=__doc__)
    parser.add_argument("--aws", default="ministack", choices=("ministack", "localstack"))
    parser.add_argument("--events", type=int, default=100_000, help="of each round (100000)")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    return carried_out("loadtest.projecting", measure(given.aws, given.events, given.rounds), told)


if __name__ == "__main__":
    raise SystemExit(main())
