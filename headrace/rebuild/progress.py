"""What a rebuild says while it works: a line now and then on stderr, with its rate and how long it may take."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Final

from runtime.lifecycle import ended

EVERY_SECONDS: Final = 2.0


def say(what: str) -> None:
    """One line for people."""
    print(f"headrace rebuild: {what}", file=sys.stderr, flush=True)


def line(done: int, of: int, seconds: float, unit: str) -> str:
    """`of`: how many there may be, 0 where nobody knows. Pure."""
    rate = done / seconds if seconds > 0 else 0.0
    said = f"{done:,} {unit}, {rate:,.0f} a second"
    if of <= done or rate <= 0:
        return said
    return f"{said}, {done / of:.0%} of about {of:,}, {_time((of - done) / rate)} to go"


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


@asynccontextmanager
async def telling(phase: str, look: Callable[[], tuple[int, int, str]], every: float = EVERY_SECONDS) -> AsyncIterator[None]:
    """`look`: (done, of about how many, unit), asked while inside and at the end."""
    began = monotonic()

    async def tell() -> None:
        while True:
            await asyncio.sleep(every)
            done, of, unit = look()
            say(f"{phase}: {line(done, of, monotonic() - began, unit)}")

    task = asyncio.create_task(tell())
    try:
        yield
    finally:
        await ended(task)
    done, _, unit = look()
    say(f"{phase}: done, {line(done, 0, monotonic() - began, unit)}")
