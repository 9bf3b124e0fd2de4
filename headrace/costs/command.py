"""`headrace costs`: what the live stack's AWS calls come to, since its roles began."""

import asyncio
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final

import aiohttp
import msgspec

from headrace.costs.prices import Prices, load_prices
from headrace.costs.report import Costs, costs, render
from headrace.errors import WrongUse
from headrace.local import state
from headrace.metering import Reading, read_meters, spent

_WATCH_SECONDS: Final = 2.0
_ANSWER_SECONDS: Final = 5.0
_NOTHING: Final = Reading(())
"""Before the roles began."""


def arguments(parser: ArgumentParser) -> None:
    """How to show it, and by which prices."""
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    parser.add_argument("--watch", action="store_true", help="again every two seconds, until Ctrl-C or the stack is gone")
    parser.add_argument("--prices", type=Path, metavar="FILE", help="your price table in the place of ours (see docs/costs.md)")


def main(arguments: Namespace) -> int:
    """Exit 0; 2 when no stack is up here or the price table is wrong."""
    prices = load_prices(arguments.prices)
    return asyncio.run(_show(state.folder_of(arguments.state), prices, as_json=arguments.json, watch=arguments.watch))


async def _show(folder: Path, prices: Prices, *, as_json: bool, watch: bool) -> int:
    while True:
        found = await look(folder, prices)
        print(msgspec.json.encode(found).decode() if as_json else render(found), flush=True)
        if not watch:
            return 0
        await asyncio.sleep(_WATCH_SECONDS)
        if not as_json:
            print()


async def look(folder: Path, prices: Prices) -> Costs:
    """The stack of this folder as it is now. Raises WrongUse when none is up."""
    stack = state.live(folder)
    if stack is None:
        raise WrongUse(f"no stack is up in {folder}")
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS)) as http:
        reading = await read_meters(http, stack.parts)
    used = spent(_NOTHING, reading)
    whole, by_role = costs(used.usage, used.usage_by_role, prices)
    return Costs(
        backend=stack.backend,
        prices=prices,
        commands=used.usage.commands,
        bill=whole,
        by_role=by_role,
        usage=used.usage,
        usage_by_role=used.usage_by_role,
        cpu_ms=used.cpu_ms,
        peak_rss_mb=used.peak_rss_mb,
        silent=reading.silent,
    )
