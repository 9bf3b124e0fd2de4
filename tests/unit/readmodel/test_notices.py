"""Who waits for a projector is woken by what it tells, and by nothing else that need not wake it."""

import asyncio
from typing import cast

import msgspec
import pytest

from events.ids import StreamId
from readmodel.notices import DEAF_LOOKS, DEAF_SECONDS, GATHER_SECONDS, Notices
from tests.support.virtual_time import run_virtually

A, B = StreamId("comment-a"), StreamId("comment-b")
WANTED = {A: 2, B: 5}


def notices(*, ready: bool = True) -> Notices:
    made = Notices(cast("object", None), "channel")  # type: ignore[arg-type]
    if ready:
        made.ready.set()
    return made


def told(made: Notices, *reached: tuple[StreamId, int]) -> None:
    made.tell(msgspec.json.encode(reached))


async def took(waiting: "asyncio.Future[None]") -> float:
    began = asyncio.get_running_loop().time()
    await waiting
    return asyncio.get_running_loop().time() - began


def waited(some: bool, *reached: tuple[float, StreamId, int], ready: bool = True, fails_at: float | None = None) -> float:
    """Seconds, of ten, until a waiter for all (or for some) of WANTED looks again."""

    async def main() -> float:
        made = notices(ready=ready)
        loop = asyncio.get_running_loop()
        with made.expecting(WANTED) as awaited:
            for seconds, stream, version in reached:
                loop.call_later(seconds, told, made, (stream, version))
            if fails_at is not None:
                loop.call_later(fails_at, made._wake)
            await asyncio.sleep(0.01)  # the look at PostgreSQL: what is told meanwhile counts
            wait = awaited.wait_for_some if some else awaited.wait_for
            return 0.01 + await took(asyncio.ensure_future(wait(list(WANTED), 10)))

    return run_virtually(main())


def test_a_reader_waits_for_all_of_it() -> None:
    assert waited(False, (1, A, 2), (2, B, 5)) == pytest.approx(2, abs=0.01)
    assert waited(False, (1, A, 2), (2, B, 4)) == pytest.approx(10, abs=0.02)
    assert waited(False, (0.001, A, 2), (0.002, B, 7)) == pytest.approx(0.01, abs=0.01)


def test_the_cache_projector_looks_when_some_of_it_is_there() -> None:
    assert waited(True, (1, A, 2), (2, B, 5)) == pytest.approx(1 + GATHER_SECONDS, abs=0.01)
    assert waited(True, (1, A, 2), (1.001, B, 5)) == pytest.approx(1.001, abs=0.01)
    assert waited(True, (0.001, A, 2)) == pytest.approx(0.01 + GATHER_SECONDS, abs=0.01)
    assert waited(True, (1, A, 1)) == pytest.approx(10, abs=0.02)


@pytest.mark.parametrize("some", [False, True])
def test_everybody_looks_when_the_subscription_fails_or_stands_again(some: bool) -> None:
    assert waited(some, fails_at=3) == pytest.approx(3 + GATHER_SECONDS * some, abs=0.03)


def test_who_cannot_be_told_looks_now_and_then_and_a_crowd_not_more_often() -> None:
    assert waited(False, ready=False) == pytest.approx(DEAF_SECONDS, abs=0.05)

    async def main() -> float:
        made = notices(ready=False)
        with made.expecting({StreamId(f"comment-{n}"): 1 for n in range(1000)}):
            return made.deaf_seconds()

    assert run_virtually(main()) == DEAF_SECONDS + 1000 / DEAF_LOOKS
