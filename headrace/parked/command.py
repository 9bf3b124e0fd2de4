"""`headrace parked list|redrive|discard`."""

import asyncio
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from events.ids import StreamId
from headrace.dead.alone import alone
from headrace.errors import WrongUse
from headrace.parked.redriving import Outcome, open_redriver
from readmodel.control import CONTROL_SCHEMA
from readmodel.database import open_engine
from readmodel.parking import FIRST, Parked, Place, Which, count_parked, discard, list_parked
from runtime import logs
from runtime.aws import Aws, open_aws
from runtime.settings import Settings, load, require
from runtime.stack import load_stack, table_name

MOST: Final = 100
MOST_AT_ALL: Final = 10_000
DONE, FAILED = 0, 1
_LOG: Final = logs.get("parked")


def arguments(parser: ArgumentParser) -> None:
    """What to do with which."""
    parser.add_argument("action", choices=("list", "redrive", "discard"))
    parser.add_argument("streams", nargs="*", metavar="STREAM", help="these only; redrive and discard want them or --all")
    parser.add_argument("--all", action="store_true", help="redrive: every one that is not discarded; discard: every one of --reason")
    parser.add_argument("--projector", metavar="NAME", help="only what this projection, or the projector amqp, has parked")
    parser.add_argument("--reason", metavar="WORD", help="only what is parked for this reason")
    parser.add_argument("--most", type=int, default=MOST, metavar="N", help=f"list: a page's size ({MOST})")
    parser.add_argument("--after", metavar="PLACE", help="list: the page after this one, as `next` of the page before says")
    parser.add_argument("--json", action="store_true", help="one object on stdout")


def main(arguments: Namespace) -> int:
    """Exit 0; 1 when something named is not parked or could not be applied, or another redrive is under way."""
    _check(arguments)
    settings = load()
    require(settings, "database_url", *(("redis_url",) if arguments.action == "redrive" else ()))
    logs.configure(settings.log, "parked")
    return asyncio.run(_carry_out(settings, arguments))


def _check(arguments: Namespace) -> None:
    if not 1 <= arguments.most <= MOST_AT_ALL:
        raise WrongUse(f"--most must be between 1 and {MOST_AT_ALL}")
    if arguments.action == "list":
        if arguments.all:
            raise WrongUse("list takes no --all")
        _place(arguments.after)
        return
    if bool(arguments.streams) == arguments.all:
        raise WrongUse(f"{arguments.action} wants names of streams, or --all")
    if arguments.action == "discard" and arguments.all and arguments.reason is None:
        raise WrongUse("discard --all wants a --reason")
    if arguments.after is not None:
        raise WrongUse("--after is for list")


async def _carry_out(settings: Settings, arguments: Namespace) -> int:
    engine = open_engine(settings, CONTROL_SCHEMA)
    try:
        if arguments.action == "list":
            return await _list(engine, arguments)
        # Together two would undo each other's work: what is discarded while it is redriven, is not.
        async with open_aws(settings) as aws, alone(await aws.dynamodb(), table_name(settings, "control"), "redrive-parked"):
            if arguments.action == "discard":
                return await _discard(engine, arguments)
            return await _redrive(settings, aws, engine, arguments)
    finally:
        await engine.dispose()


def _which(arguments: Namespace, *, discarded: bool | None = None) -> Which:
    streams = [StreamId(each) for each in dict.fromkeys(arguments.streams)]
    return Which(streams, arguments.projector, arguments.reason, discarded)


async def _list(engine: AsyncEngine, arguments: Namespace) -> int:
    found = await list_parked(engine, _place(arguments.after), arguments.most, _which(arguments), fed=True)
    more = found[-1].place if len(found) == arguments.most else None
    left = _named(more) if more is not None and await list_parked(engine, more, 1, _which(arguments), fed=True) else None
    parked, discarded = await count_parked(engine), await count_parked(engine, discarded=True)
    if arguments.json:
        print(msgspec.json.encode({"parked": found, "streams": parked, "discarded_streams": discarded, "next": left}).decode())
        return DONE
    for each in found:
        discarded_at = f"  discarded {each.discarded_at}" if each.discarded_at else ""
        print(f"{each.stream}  {each.projector}  at version {each.first_version}, {each.last_version} seen  since {each.since}  "
              f"{each.reason}{discarded_at}\n    {each.detail}")  # fmt: skip
    print(f"{parked} streams parked, {discarded} discarded")
    if left is not None:
        print(f"more: --after {left}")
    return DONE


def _named(place: Place) -> str:
    stream, projector, generation = place
    return f"{stream}:{generation}:{projector}"


def _place(name: str | None) -> Place:
    if name is None:
        return FIRST
    stream, _, rest = name.partition(":")
    generation, colon, projector = rest.partition(":")
    if not colon or not generation.isdigit():
        raise WrongUse(f"--after {name} is not what a page said")
    return stream, projector, int(generation)


async def _discard(engine: AsyncEngine, arguments: Namespace) -> int:
    gone = await discard(engine, _which(arguments))
    for each in gone:
        _LOG.warning("park discarded", action="discard", stream=each.stream, projection=each.projector, reason=each.reason,
                     generation=each.generation, version=each.first_version)  # fmt: skip
    missing = _missing(arguments, {each.stream for each in await list_parked(engine, FIRST, MOST_AT_ALL, _which(arguments), fed=True)})
    if arguments.json:
        print(msgspec.json.encode({"discarded": _pairs(gone), "not_found": missing}).decode())
    else:
        print(f"discarded: {len({each.stream for each in gone})} streams")
    return _told(missing)


async def _redrive(settings: Settings, aws: Aws, engine: AsyncEngine, arguments: Namespace) -> int:
    facts = await load_stack(await aws.dynamodb(), settings)
    async with open_redriver(settings, aws, facts) as redriver:
        done = await redriver.every(engine, _which(arguments, discarded=False if arguments.all else None))
    missing = _missing(arguments, done.seen)
    if arguments.json:
        stuck = [{"stream": stream, "projector": projector, "detail": why} for projector, stream, why in done.stuck]
        said = {"redriven": _pairs(done.ended), "parked": stuck, "not_found": missing, "cache_not_told": sorted(done.stale)}
        print(msgspec.json.encode(said).decode())
    else:
        print(f"redriven: {len({each.stream for each in done.ended})} streams")
    _say(done)
    return _told(missing, failed=bool(done.stuck or done.stale))


def _pairs(parks: Sequence[Parked]) -> list[dict[str, str]]:
    pairs = sorted({(each.stream, each.projector) for each in parks})
    return [{"stream": stream, "projector": projector} for stream, projector in pairs]


def _missing(arguments: Namespace, seen: set[StreamId]) -> list[str]:
    return sorted(set(arguments.streams) - seen)


def _say(done: Outcome) -> None:
    for projector, stream, why in done.stuck:
        print(f"headrace parked: {stream} stays parked by {projector}: {why}", file=sys.stderr)
    for stream in sorted(done.stale):
        print(f"headrace parked: {stream} is applied, but Redis was away and may show it as it was; `headrace reconcile` heals that",
              file=sys.stderr)  # fmt: skip


def _told(missing: Sequence[str], *, failed: bool = False) -> int:
    for name in missing:
        print(f"headrace parked: {name} is not parked", file=sys.stderr)
    return FAILED if missing or failed else DONE
