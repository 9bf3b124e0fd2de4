"""Loading and applying take turns: several load at once, one applies while nobody loads, and nobody waits for ever."""

import asyncio

from readmodel.rebuilding.building import LOADERS, _Turns


async def test_several_load_at_once_and_one_applies_alone() -> None:
    turns, at_work, seen = _Turns(), {"loading": 0, "applying": 0}, set[tuple[int, int]]()

    async def one(kind: str) -> None:
        async with turns.loading() if kind == "loading" else turns.applying():
            at_work[kind] += 1
            for _ in range(3):
                seen.add((at_work["loading"], at_work["applying"]))
                await asyncio.sleep(0)
            at_work[kind] -= 1

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        for number in range(60):
            tasks.create_task(one("applying" if number % 5 == 4 else "loading"))
    assert seen <= {*((loading, 0) for loading in range(1, LOADERS + 1)), (0, 1)}
    assert {(LOADERS, 0), (0, 1)} <= seen


async def test_who_is_cancelled_while_it_waits_keeps_nobody_waiting() -> None:
    turns = _Turns()
    async with turns.loading():
        waiting = asyncio.create_task(turns.applying().__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(5), turns.applying():
        pass
