"""When a request is sent again. A command has its id before it is first sent, so that sending it again has one effect."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.calling.connection import Answer
from gateway.calling.failures import Unavailable
from runtime.lifecycle import backoff

LATER: Final = frozenset({429, 502, 503, 504})
"""Answers that say "not now"; `Retry-After` says when."""
NEVER_LATER: Final = b'"stream_parked"'
"""A 503 that only an operator can end."""


async def repeated(ask: Callable[[float], Awaitable[Answer]], deadline: float, command_id: str = "") -> Answer:
    """The first answer that is not "not now". `ask` is given the seconds that are left; `deadline`: the loop's time.

    Raises Unavailable when there is none by then.
    """
    loop = asyncio.get_running_loop()
    attempt = 0
    while True:
        attempt += 1
        pause = backoff(attempt, random.random())  # noqa: S311 - jitter
        try:
            answer = await ask(deadline - loop.time())
        except TimeoutError:
            why = "no answer in time"
        except OSError as wrong:
            why = f"{type(wrong).__name__}: {wrong}"
        else:
            if answer.status not in LATER or NEVER_LATER in answer.body:
                return answer
            why = f"answered {answer.status} {answer.body[:200].decode(errors='replace')}"
            pause = max(pause, _after(answer))
        if loop.time() + pause >= deadline:
            raise Unavailable(f"{why} ({attempt} attempts)", command_id)
        await asyncio.sleep(pause)


def _after(answer: Answer) -> float:
    """Seconds that the gateway asks to wait; 0 when it does not say, or says a date."""
    said = answer.headers.get("retry-after", "")
    return float(said) if said.isdecimal() else 0.0
