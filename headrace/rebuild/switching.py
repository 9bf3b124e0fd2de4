"""The switch itself, there and back, and what becomes of the generation that is no longer read."""

import asyncio
from collections.abc import Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from headrace.errors import WrongUse
from headrace.rebuild.progress import say
from readmodel.feeding import read_fed
from readmodel.generations import Check, beside, feed_not, flip, seconds_since_flip
from readmodel.rebuilding.comparing import Pair, parks_seen_by
from runtime.errors import Fatal

LEAVE_SECONDS: Final = 15.0
"""Since a switch, until nobody reads the other generation any more: processes look every second, and a read lasts less than 15."""


class Refused(Fatal):
    """A running projector could not feed the generation, so there is nothing to switch to; or it had to park there what goes on here."""


def acceptable(differences: Sequence[str], pair: Pair, *, accept: bool) -> bool:
    """Whether to switch; says why not."""
    for each in differences:
        say(f"differs: {each}")
    if differences and not accept:
        say(f"not switched: generation {pair.old} goes on. If that one is what is wrong, say --accept-differences")
    return accept or not differences


async def switch(engine: AsyncEngine, projector: str, pair: Pair, check: Check | None = None) -> None:
    """Queries read `pair.new` from now on, each process within a second. Raises Refused, Retryable, and what `check` raises."""
    if not await flip(engine, projector, pair.new, check):
        raise Refused(f"a projector could not feed generation {pair.new} and left it; its log says why")
    say(f"switched to generation {pair.new}; {pair.old} is fed on, for --rollback, until --drop-old")


def same_parks(pair: Pair, *, accept: bool) -> Check | None:
    """For `switch`: what was parked in one of them only since they were compared, else a reader might go back. None: it is all the same."""

    async def check(connection: AsyncConnection) -> None:
        differences = await parks_seen_by(connection, pair)
        if differences:
            raise Refused(f"not switched: since the comparison {'; '.join(differences)}")

    return None if accept else check


async def kept(engine: AsyncEngine, projector: str) -> Pair:
    """The current generation, and the complete one beside it. Raises WrongUse where there is none."""
    found = [each.generation for each in await beside(engine, projector) if each.complete]
    if not found:
        raise WrongUse("no other generation is kept beside the current one")
    return Pair((await read_fed(engine, projector)).current, found[-1])


async def leave(engine: AsyncEngine, projector: str, generation: int) -> None:
    """When it returns nobody reads that generation, and nobody feeds it any more. Not for the current one."""
    rest = LEAVE_SECONDS - await seconds_since_flip(engine, projector)
    if rest > 0:
        say(f"{rest:.0f} s until all processes have left generation {generation}")
        await asyncio.sleep(rest)
    await feed_not(engine, projector, generation)
