"""`headrace reconcile`: every stored stream against the projectors' positions, and what is missing published again."""

import asyncio
import sys
from argparse import ArgumentParser, Namespace
from time import monotonic
from typing import Any, Final

import msgspec

from events.dynamo_store import open_store
from headrace.errors import WrongUse
from readmodel.control import AMQP
from readmodel.domains import registry
from readmodel.reconciling import open_standings
from runtime.aws import open_aws
from runtime.settings import Settings, load, require
from runtime.stack import load_stack, table_name
from workers.republishing import Republisher
from workers.sighting import Queues, StoredKeys, publishing_since
from workers.trailing import PROJECTORS
from workers.walking import NAMED, SEGMENTS, Patience, Sight, Walk, Walked
from workers.walks import Walks

DONE, FAILED = 0, 1
_SAY_SECONDS: Final = 2.0
_MOST_SEGMENTS: Final = 64


def arguments(parser: ArgumentParser) -> None:
    """How long to wait, and for whom."""
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    parser.add_argument(
        "--settle", type=float, default=60.0, metavar="S", help="seconds for projectors to come to rest, and to pass what was sent (60)"
    )
    parser.add_argument("--projector", metavar="NAME", help="rds, cache or amqp (all the stack has)")
    parser.add_argument("--from-start", action="store_true", help="with --projector amqp: also what is older than its queue")
    parser.add_argument("--segments", type=int, default=SEGMENTS, metavar="N", help=f"parts of the table read at once ({SEGMENTS})")


def main(arguments: Namespace) -> int:
    """Exit 0 when every projector has passed everything, or has by now; 1 when something is still behind."""
    if not 0 <= arguments.settle <= 3600:
        raise WrongUse("--settle must be between 0 and 3600 seconds")
    if not 1 <= arguments.segments <= _MOST_SEGMENTS:
        raise WrongUse(f"--segments must be between 1 and {_MOST_SEGMENTS}")
    if arguments.from_start and arguments.projector != AMQP:
        raise WrongUse("--from-start goes with --projector amqp: the others are owed everything anyway")
    settings = load()
    require(settings, "database_url")
    return asyncio.run(_reconcile(settings, arguments))


async def _reconcile(settings: Settings, arguments: Namespace) -> int:
    domains = registry(settings)
    async with open_aws(settings) as aws:
        dynamodb, sqs = await aws.dynamodb(), await aws.sqs()
        facts = await load_stack(dynamodb, settings)
        since = await publishing_since(sqs, facts)
        projectors = _projectors(arguments.projector, amqp=since is not None)
        walks = Walks(dynamodb, table_name(settings, "control"))
        wanted = await walks.wanted()
        async with open_standings(settings, domains, amqp=AMQP in projectors) as standings:
            sight = Sight(
                StoredKeys(dynamodb, table_name(settings, "events")),
                await open_store(aws, facts, settings),
                standings,
                Queues(sqs, facts.queues),
                0 if arguments.from_start else since,
            )
            walk = Walk(
                sight, Republisher(await aws.sns(), facts.topic_arn), projectors, Patience(drain=arguments.settle, settle=arguments.settle)
            )
            began = monotonic()
            walked = await _told(walk, arguments.segments)
        if wanted is not None and walked.ok and arguments.projector is None:
            await walks.done(wanted)
    _show(walked, monotonic() - began, as_json=arguments.json)
    return DONE if walked.ok else FAILED


def _projectors(named: str | None, *, amqp: bool) -> tuple[str, ...]:
    there = (*PROJECTORS, AMQP) if amqp else PROJECTORS
    if named is not None and named not in there:
        raise WrongUse(f"--projector must be one of {', '.join(there)}")
    return there if named is None else (named,)


async def _told(walk: Walk, segments: int) -> Walked:
    """Walk, and say how far it is on stderr."""
    walking = asyncio.ensure_future(walk.run(segments))
    before, since = 0, monotonic()
    try:
        while not (await asyncio.wait([walking], timeout=_SAY_SECONDS))[0]:
            done, now = walk.done, monotonic()
            rate = (done.streams - before) / (now - since)
            before, since = done.streams, now
            said = f"{done.streams} streams ({rate:.0f}/s), {done.republished} published again, {done.healed} healed"
            print(f"headrace reconcile: {said}", file=sys.stderr, flush=True)
        return walking.result()
    finally:
        walking.cancel()
        await asyncio.gather(walking, return_exceptions=True)


def _show(walked: Walked, seconds: float, *, as_json: bool) -> None:
    said: dict[str, Any] = {
        "ok": walked.ok,
        "streams": walked.streams,
        "missing": dict(walked.missing),
        "republished": walked.republished,
        "healed": walked.healed,
        "behind": dict(walked.behind),
        "unhealed": walked.unhealed,
        "seconds": round(seconds, 3),
    }
    if as_json:
        print(msgspec.json.encode(said).decode())
        return
    for stream in walked.unhealed:
        print(f"{stream}: published again, and not passed within the time")
    if len(walked.unhealed) == NAMED:
        print("and perhaps more")
    for name, count in walked.behind.items():
        print(f"{name} is behind on {count} streams and was busy all the time: nothing was published for it")
    missing = ", ".join(f"{count} by {name}" for name, count in walked.missing.items()) or "none"
    print(f"{walked.streams} streams in {seconds:.1f} s; missing: {missing}; {walked.republished} published again, {walked.healed} healed")
