"""`headrace provision --partitions N`: the protocol step by step, on a clock that jumps."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

import pytest
from msgspec import UNSET, structs

from headrace.errors import StackFailed
from headrace.provisioning.repartition import LOOK_SECONDS, WRITE_SECONDS, Change, NotChanged, Times
from runtime.changing import unmarked
from runtime.stack import Changing, Seen, Stack
from tests.support.fake_facts import Away, FakeFacts
from tests.support.virtual_time import run_virtually

TIMES = Times(still=25.0, empty=10.0, settle=120.0, mark=30.0)


class Provisioner:
    """One provision, with a queue that is as full as `depths` say, one a look; then empty."""

    def __init__(self, facts: FakeFacts, depths: Iterable[int | None] = (), always: int | None = 0, times: Times = TIMES) -> None:
        self.said: list[str] = []
        self.stop = asyncio.Event()
        self.looked: list[float] = []
        self._depths, self._always = iter(depths), always
        self._loop = asyncio.get_running_loop()
        self.began = self._loop.time()
        self.change = Change(facts, self._depth, self.stop, self.said.append, times)
        self.change.clock = self._loop.time

    async def _depth(self) -> int:
        self.looked.append(self._loop.time() - self.began)
        depth = next(self._depths, self._always)
        if depth is None:
            raise Away
        return depth

    def seconds(self) -> float:
        return self._loop.time() - self.began


def marks(facts: FakeFacts) -> list[Changing]:
    return [each.changing for each in facts.written if each.changing is not UNSET]


def test_the_mark_then_stillness_then_emptiness_then_the_number() -> None:
    async def main() -> None:
        facts = FakeFacts(16)
        one = Provisioner(facts, [3, 1])
        stack = await one.change.to(7)
        assert stack == facts.stack == structs.replace(facts.written[0], partitions=7, changing=UNSET)
        assert one.looked[0] >= TIMES.still
        assert TIMES.still + 2 * LOOK_SECONDS + TIMES.empty <= one.seconds() <= TIMES.still + 3 * LOOK_SECONDS + TIMES.empty + 1
        assert [each.partitions for each in facts.written[:-1]] == [16] * len(marks(facts))
        assert {(each.to, each.by, each.seconds) for each in marks(facts)} == {(7, marks(facts)[0].by, 30.0)}
        assert [each.beat for each in marks(facts)] == list(range(1, len(marks(facts)) + 1))
        assert len(marks(facts)) >= one.seconds() / (TIMES.mark / 2)

    run_virtually(main())


def test_the_same_number_is_no_change() -> None:
    async def main() -> None:
        facts = FakeFacts(16)
        one = Provisioner(facts)
        assert (await one.change.to(16)).partitions == 16
        assert (facts.written, one.looked, one.said) == ([], [], [])

    run_virtually(main())


@pytest.mark.parametrize("depths", [[0] * 9 + [1], [0, 0, None, 0, None], [None] * 30], ids=["once more", "unknown", "long unknown"])
def test_only_an_emptiness_seen_all_the_time_counts(depths: list[int | None]) -> None:
    async def main() -> None:
        one = Provisioner(FakeFacts(16), depths)
        await one.change.to(7)
        assert one.looked[-1] - one.looked[len(depths)] >= TIMES.empty

    run_virtually(main())


def test_however_little_time_is_asked_for_it_is_looked_at_more_than_once() -> None:
    async def main() -> None:
        one = Provisioner(FakeFacts(16), times=Times(still=1, empty=0))
        await one.change.to(7)
        assert len(one.looked) >= 3

    run_virtually(main())


@pytest.mark.parametrize("always", [4, None])
def test_a_queue_that_never_gets_empty_leaves_everything_as_it_was(always: int | None) -> None:
    async def main() -> None:
        facts = FakeFacts(16)
        before = facts.stack
        one = Provisioner(facts, always=always)
        with pytest.raises(NotChanged, match="the commands queue was not empty within 120 s"):
            await one.change.to(7)
        assert facts.stack == before
        assert one.said[-1] == "the stack has 16 partitions"
        assert one.seconds() <= TIMES.still + TIMES.settle + 2 * LOOK_SECONDS

    run_virtually(main())


@pytest.mark.parametrize("after", [0.5, 26.0, 33.0])
@pytest.mark.parametrize("how", ["signal", "cancelled"])
def test_whoever_interrupts_it_leaves_everything_as_it_was(after: float, how: str) -> None:
    async def main() -> None:
        facts = FakeFacts(16)
        before = facts.stack
        one = Provisioner(facts)
        changing = asyncio.create_task(one.change.to(7))
        await asyncio.sleep(after)
        assert facts.stack.changing is not UNSET
        if how == "signal":
            one.stop.set()
        else:
            changing.cancel()
        with pytest.raises(NotChanged if how == "signal" else asyncio.CancelledError):
            await changing
        assert facts.stack == before
        assert one.said[-1] == "the stack has 16 partitions"

    run_virtually(main())


@pytest.mark.parametrize("after", [0.1, 12.0, 24.0])
def test_a_second_one_at_the_same_time_is_refused_and_does_no_harm(after: float) -> None:
    async def main() -> None:
        facts = FakeFacts(16)
        first, second = Provisioner(facts), Provisioner(facts)
        changing = asyncio.create_task(first.change.to(7))
        await asyncio.sleep(after)
        with pytest.raises(StackFailed, match="being changed to 7 by another provision"):
            await second.change.to(32)
        assert (await changing).partitions == 7
        assert {each.to for each in marks(facts)} == {7}

    run_virtually(main())


def test_of_two_that_begin_in_the_same_moment_one_goes_on() -> None:
    async def main() -> None:
        facts = FakeFacts(16)
        both = [Provisioner(facts).change.to(count) for count in (7, 32)]
        results = await asyncio.gather(*both, return_exceptions=True)
        (changed,) = [each for each in results if isinstance(each, Stack)]
        (refused,) = [each for each in results if isinstance(each, StackFailed)]
        assert facts.stack == changed
        assert len({each.to for each in marks(facts)}) == 1
        assert "meanwhile" in str(refused) or "another provision" in str(refused)

    run_virtually(main())


def test_the_next_one_takes_over_from_one_that_was_killed() -> None:
    async def main() -> None:
        left = Changing(5, "killed", 3, 30.0)
        facts = FakeFacts(16, left)
        one = Provisioner(facts)
        assert (await one.change.to(7)).partitions == 7
        assert one.looked[0] >= left.seconds + TIMES.still
        assert facts.written[0] == unmarked(structs.replace(facts.stack, partitions=16))

    run_virtually(main())


def test_one_that_was_paused_so_long_that_its_mark_was_removed_writes_nothing() -> None:
    async def main() -> None:
        facts = FakeFacts(16)
        one = Provisioner(facts)
        changing = asyncio.create_task(one.change.to(7))
        await asyncio.sleep(TIMES.still + 2)
        facts.put(unmarked(facts.stack))  # a gateway judged it dead
        with pytest.raises(NotChanged, match="meanwhile"):
            await changing
        assert facts.stack.partitions == 16
        assert all(each.partitions == 16 for each in facts.written)

    run_virtually(main())


def test_one_that_stood_still_itself_knows_that_its_mark_may_not_count_any_more() -> None:
    async def main() -> None:
        facts = FakeFacts(16)
        one = Provisioner(facts)
        jump = 0.0
        loop = asyncio.get_running_loop()
        one.change.clock = lambda: loop.time() + jump
        changing = asyncio.create_task(one.change.to(7))
        await asyncio.sleep(TIMES.still + 2)
        jump = TIMES.mark
        with pytest.raises(NotChanged, match="stood still for too long"):
            await changing
        assert facts.stack.partitions == 16
        assert facts.stack.changing is UNSET

    run_virtually(main())


def test_lost_answers_are_no_answers_and_nothing_is_done_twice() -> None:
    async def main() -> None:
        facts = FakeFacts(16)
        facts.lost = 3
        one = Provisioner(facts)
        changing = asyncio.create_task(one.change.to(7))
        await asyncio.sleep(TIMES.still + TIMES.empty)
        facts.lost = 2
        assert (await changing).partitions == facts.stack.partitions == 7
        assert [each.beat for each in marks(facts)] == list(range(1, len(marks(facts)) + 1))

    run_virtually(main())


def test_a_last_write_that_is_carried_out_late_is_what_is_told() -> None:
    class Late(FakeFacts):
        """The last write arrives when the next one does."""

        late: Callable[[], Awaitable[Seen]] | None = None

        async def replace(self, seen: Seen | None, stack: Stack) -> Seen:
            if stack.partitions == 7 and stack.changing is UNSET:
                self.late = partial(super().replace, seen, stack)
                raise Away
            if self.late is not None:
                late, self.late = self.late, None
                await late()
            return await super().replace(seen, stack)

    async def main() -> None:
        facts = Late(16)
        one = Provisioner(facts)
        with pytest.raises(NotChanged, match="out of reach"):
            await one.change.to(7)
        assert (facts.stack.partitions, facts.stack.changing) == (7, UNSET)
        assert one.said[-1] == "the stack has 7 partitions"

    run_virtually(main())


def test_with_the_facts_out_of_reach_it_gives_up_and_the_mark_is_left_to_die() -> None:
    async def main() -> None:
        facts = FakeFacts(16)
        one = Provisioner(facts)
        changing = asyncio.create_task(one.change.to(7))
        await asyncio.sleep(1)
        facts.away = True
        with pytest.raises(NotChanged, match="out of reach"):
            await changing
        assert facts.stack.partitions == 16
        assert one.said[-1].endswith("it counts for 30 s more")
        assert one.seconds() <= TIMES.mark + 2 * WRITE_SECONDS + 5

    run_virtually(main())
