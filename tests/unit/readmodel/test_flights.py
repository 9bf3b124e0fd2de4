"""Loads that readers share, on an event loop whose waits take no time."""

import asyncio
import random

import pytest

from readmodel.flights import Flights
from tests.support.virtual_time import run_virtually


class Source:
    """A value that grows; a load takes a second and answers with what there was when it began."""

    def __init__(self) -> None:
        self.version = 0
        self.loads = self.at_once = self.most_at_once = 0

    async def load(self) -> int:
        self.loads += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        seen = self.version
        try:
            await asyncio.sleep(1)
        finally:
            self.at_once -= 1
        return seen


def test_a_crowd_costs_one_load_and_those_who_come_meanwhile_another() -> None:
    async def main() -> int:
        source, flights = Source(), Flights[int](most=10)

        async def reader(number: int) -> int:
            await asyncio.sleep(0.5 * (number % 2))
            return await flights.join("key", source.load)

        await asyncio.gather(*map(reader, range(100)))
        return source.loads

    assert run_virtually(main()) == 2


def test_nobody_is_answered_by_a_load_that_began_before_they_came() -> None:
    async def main() -> tuple[int, int, int]:
        source, flights, dice = Source(), Flights[int](most=100), random.Random(5)
        stale = 0

        async def reader() -> None:
            nonlocal stale
            await asyncio.sleep(dice.random() * 60)
            known = source.version
            way = flights.begin if dice.random() < 0.1 else flights.join
            stale += await way(dice.choice("ab"), source.load) < known

        async def writer() -> None:
            for _ in range(600):
                await asyncio.sleep(0.1)
                source.version += 1

        await asyncio.gather(writer(), *(reader() for _ in range(1000)))
        return stale, source.loads, source.most_at_once

    stale, loads, most_at_once = run_virtually(main())
    assert stale == 0
    assert loads < 350  # two keys, a load a second each, and a hundred that began at once
    assert most_at_once <= 12


def test_what_fails_fails_for_those_who_waited_and_the_next_load_is_a_new_one() -> None:
    async def main() -> int:
        flights = Flights[int](most=10)

        async def fails() -> int:
            await asyncio.sleep(1)
            raise ConnectionError

        answers = await asyncio.gather(*(flights.join("key", fails) for _ in range(3)), return_exceptions=True)
        assert [type(each) for each in answers] == [ConnectionError] * 3
        return await flights.join("key", Source().load)

    assert run_virtually(main()) == 0


def test_a_reader_who_goes_away_takes_nobody_with_it_and_the_number_of_loads_is_bounded() -> None:
    async def main() -> tuple[int, int]:
        source, flights = Source(), Flights[int](most=2)
        first = asyncio.create_task(flights.join("a", source.load))
        await asyncio.sleep(0.1)
        second = asyncio.create_task(flights.join("a", source.load))
        await asyncio.sleep(0.5)
        first.cancel()
        alone = [asyncio.create_task(flights.join("b", source.load)) for _ in range(3)]
        assert await second == 0
        await asyncio.gather(*alone)
        loads = source.loads  # two shared, and three that found no room
        left = asyncio.create_task(flights.join("a", source.load))
        await asyncio.sleep(0.5)
        await flights.close()
        with pytest.raises(asyncio.CancelledError):
            await left
        return loads, source.at_once

    assert run_virtually(main()) == (5, 0)
