"""`headrace rebuild rds|cache [--rollback|--drop-old]`."""

import asyncio
from argparse import ArgumentParser, Namespace
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from headrace.errors import WrongUse
from headrace.rebuild import cache, kept, rds
from headrace.rebuild.alone import Alone, alone
from headrace.rebuild.ground import Ground, open_ground
from headrace.rebuild.progress import say
from runtime import logs
from runtime.lifecycle import stop_on_signals, unless_stopped
from runtime.settings import Settings, load, require

READ_UNITS: Final = 3_000.0
"""A second, on AWS: a quarter of what a table that was just made gives at once. An emulator is read as fast as it answers."""
SEGMENTS: Final = 4
MOST_SEGMENTS: Final = 64
SETTLE_SECONDS: Final = 60.0
DONE, FAILED = 0, 1


def arguments(parser: ArgumentParser) -> None:
    """What to rebuild, and how."""
    parser.add_argument("what", choices=("rds", "cache"))
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--rollback", action="store_true", help="back to the generation before, which was fed on")
    instead.add_argument("--drop-old", action="store_true", help="drop the generation before")
    parser.add_argument("--accept-differences", action="store_true", help="rds: switch although the old generation differs")
    parser.add_argument("--read-units", type=float, metavar="R", help=f"rds: read units a second of the scan ({READ_UNITS:g} on AWS)")
    parser.add_argument("--segments", type=int, metavar="N", help=f"rds: segments scanned side by side ({SEGMENTS}; an emulator: 1)")
    parser.add_argument(
        "--settle",
        type=float,
        default=SETTLE_SECONDS,
        metavar="S",
        help=f"rds: seconds for the two to become the same ({SETTLE_SECONDS:g})",
    )
    parser.add_argument("--json", action="store_true", help="one object on stdout")


def main(arguments: Namespace) -> int:
    """Exit 0 when it was done; 1 when it was not, or was interrupted: then everything is as it was."""
    if arguments.read_units is not None and not arguments.read_units > 0:
        raise WrongUse("--read-units must be above 0")
    if arguments.segments is not None and not 1 <= arguments.segments <= MOST_SEGMENTS:
        raise WrongUse(f"--segments must be between 1 and {MOST_SEGMENTS}")
    if not 0 <= arguments.settle <= 3600:
        raise WrongUse("--settle must be between 0 and 3600 seconds")
    settings = load()
    require(settings, "database_url", *(("redis_url",) if arguments.what == "cache" else ()))
    logs.configure(settings.log, "rebuild")
    return asyncio.run(_until_stopped(settings, arguments))


async def _until_stopped(settings: Settings, arguments: Namespace) -> int:
    async with stop_on_signals() as stop:
        try:
            code = await unless_stopped(stop, _carry_out(settings, arguments))
        except ExceptionGroup as several:  # what segments and lanes break on comes in groups
            raise _first(several) from several
    if code is None:
        say("interrupted; unless a switch was told above, what was read before is read on")
        return FAILED
    return code


def _first(several: BaseException) -> BaseException:
    while isinstance(several, BaseExceptionGroup):
        several = several.exceptions[0]
    return several


async def _carry_out(settings: Settings, arguments: Namespace) -> int:
    async with open_ground(settings) as ground, alone(settings) as held:
        work = _cache if arguments.what == "cache" else _rds
        said, done = await work(ground, held, arguments)
    if arguments.json:
        print(msgspec.json.encode(said).decode())
    return DONE if done else FAILED


async def _rds(ground: Ground, held: Alone, arguments: Namespace) -> tuple[Any, bool]:
    if arguments.drop_old:
        return {"dropped": await kept.drop_old(ground)}, True
    if arguments.rollback:
        pair = await kept.rollback(ground, held, accept=arguments.accept_differences)
        return {"generation": pair.new, "instead_of": pair.old, "switched": pair.new != pair.old}, pair.new != pair.old
    report = await rds.rebuild(ground, held, options(ground.settings, arguments))
    return report, report.switched


async def _cache(ground: Ground, held: Alone, arguments: Namespace) -> tuple[Any, bool]:
    if arguments.drop_old:
        return {"dropped": await cache.drop_old(ground)}, True
    if arguments.rollback:
        pair = await cache.rollback(ground, held)
        return {"generation": pair.new, "instead_of": pair.old, "switched": True}, True
    report = await cache.rebuild(ground, held)
    return report, report.switched


def options(settings: Settings, arguments: Namespace) -> rds.Options:
    """What was not said depends on what answers."""
    host = urlsplit(settings.aws_endpoint_url or "").hostname or ""
    emulated = bool(host) and not host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
    return rds.Options(
        read_units=arguments.read_units or (None if emulated else READ_UNITS),
        segments=arguments.segments or (1 if emulated else SEGMENTS),
        settle=arguments.settle,
        accept_differences=arguments.accept_differences,
    )
