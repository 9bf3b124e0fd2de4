"""Who carries out a walk: when, how often, and for whose wish."""

import asyncio
from collections.abc import Collection
from typing import Any, cast
from unittest.mock import Mock

import pytest

from tests.support.fake_table import FakeTable
from tests.support.virtual_time import run_virtually
from workers import walker
from workers.lease import Leases
from workers.walker import Drained, Walker
from workers.walking import Walked
from workers.walks import Walk


class House:
    """A stack on which somebody wants a walk; `meanwhile` is the wish that stands once the projectors have nothing to do."""

    def __init__(self, meanwhile: Walk | None) -> None:
        self.wish: Walk | None = Walk(1, "a new stream")
        self._meanwhile = meanwhile
        self.walks = 0
        self.looks = 0

    async def wanted(self) -> Walk | None:
        return self.wish

    async def done(self, walk: Walk) -> bool:
        if self.wish is None or walk.number != self.wish.number:
            return False
        self.wish = None
        return True

    async def run(self) -> Walked:
        self.walks += 1
        return Walked()

    async def depths(self, projectors: Collection[str]) -> dict[str, int]:
        self.looks += 1
        self.wish = self._meanwhile
        return dict.fromkeys(projectors, 0)


@pytest.mark.parametrize(("meanwhile", "walks"), [(Walk(1, "a new stream"), 1), (Walk(3, "trimmed"), 1), (None, 0)])
def test_one_walk_is_for_all_who_asked_before_it_began(meanwhile: Walk | None, walks: int) -> None:
    house = House(meanwhile)

    async def story() -> None:
        leases = Leases(cast(Any, FakeTable()), "control", "ann", 30)
        stop = asyncio.Event()
        walking = Walker(cast(Any, house), leases, lambda: cast(Any, house), Drained(house, ("rds",)))
        running = asyncio.ensure_future(walking.run(stop))
        await asyncio.sleep(300)
        stop.set()
        await running

    run_virtually(story())
    assert (house.walks, house.wish, house.looks) == (walks, None, 2)


class Busy:
    """A stack whose projectors are never done."""

    async def depths(self, projectors: Collection[str]) -> dict[str, int]:
        return dict.fromkeys(projectors, 1)


def test_a_walk_that_waits_for_a_busy_stack_says_so_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Mock()
    monkeypatch.setattr(walker, "_LOG", log)

    async def story() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1500):
                await Drained(Busy(), ("rds", "cache")).wait()

    run_virtually(story())
    said = [(call.args[0], call.kwargs["projectors"]) for call in log.warning.call_args_list]
    assert said == 2 * [("the walk waits for projectors that are busy", ["cache", "rds"])]
