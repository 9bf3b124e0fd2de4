"""What leaves together, in which order, and what becomes of it when it is given up."""

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from events.ids import Partition
from events.parcel import LONER_BYTES, MAX_BYTES, OVERHEAD
from gateway.parcelling import BYTES_A_CALL, MAX_WAITING, PARCELS_A_CALL, BufferFull, Pace, Parcel, Parcelling, pace_of

SIZES = st.sampled_from([1, 300, 20_000, LONER_BYTES, LONER_BYTES + 1, 200 * 1024])


class Plan(RuleBasedStateMachine):
    """Any interleaving of arrivals, calls, confirmations and parcels given up."""

    @initialize(partitions=st.integers(1, 23))
    def begin(self, partitions: int) -> None:
        self.plan: Parcelling[int] = Parcelling(partitions)
        self.partitions = partitions
        self.now = 0.0
        self.number = 0
        self.waiting: dict[int, list[int]] = {}
        """What must come out of each partition, in order."""
        self.under_way: list[Parcel[int]] = []
        self.size: dict[int, int] = {}

    @rule(partition=st.integers(0, 22), sizes=st.lists(SIZES, min_size=1, max_size=6))
    def arrive(self, partition: int, sizes: list[int]) -> None:
        partition %= self.partitions
        for size in sizes:
            self.number += 1
            try:
                self.plan.add(Partition(partition), b"x" * size, self.number, self.now)
            except BufferFull:
                continue
            self.size[self.number] = size
            self.waiting.setdefault(partition, []).append(self.number)

    @rule(seconds=st.floats(0, 0.3))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def take(self) -> None:
        due = self.plan.due(self.now)
        calls = self.plan.take(self.now)
        assert (due is None) == (not calls)
        for call in calls:
            assert 0 < len(call) <= PARCELS_A_CALL
            assert sum(parcel.size for parcel in call) <= BYTES_A_CALL or len(call) == 1
            self.under_way += call
        for parcel in (parcel for call in calls for parcel in call):
            expected = self.waiting[parcel.partition]
            assert parcel.items == expected[: len(parcel.items)]
            assert [len(body) for body in parcel.bodies] == [self.size[item] for item in parcel.items]
            del expected[: len(parcel.items)]
            assert OVERHEAD + sum(map(len, parcel.bodies)) + len(parcel.bodies) <= MAX_BYTES
            assert len(parcel.items) == 1 or max(map(len, parcel.bodies)) <= LONER_BYTES

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 100))
    def confirm(self, which: int) -> None:
        parcel = self.under_way.pop(which % len(self.under_way))
        self.plan.confirmed(parcel)
        for item in parcel.items:
            del self.size[item]

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 100))
    def give_up(self, which: int) -> None:
        parcel = self.under_way.pop(which % len(self.under_way))
        behind = self.waiting.pop(parcel.partition, [])
        lost = self.plan.given_up(parcel)
        assert lost == [*parcel.items, *behind]
        for item in lost:
            del self.size[item]

    @invariant()
    def one_parcel_a_partition(self) -> None:
        partitions = [parcel.partition for parcel in self.under_way]
        assert len(partitions) == len(set(partitions))

    @invariant()
    def nothing_is_lost(self) -> None:
        assert (self.plan.count, self.plan.bytes) == (len(self.size), sum(self.size.values()))

    @invariant()
    def what_can_go_is_due_in_time(self) -> None:
        busy = {parcel.partition for parcel in self.under_way}
        free = any(items and partition not in busy for partition, items in self.waiting.items())
        due = self.plan.due(self.now)
        assert (due is not None) == free
        assert due is None or 0 <= due <= 0.25


TestPlan = Plan.TestCase
TestPlan.settings = settings(max_examples=400, stateful_step_count=30, deadline=None)


@pytest.mark.slow
def test_the_same_many_times() -> None:
    run_state_machine_as_test(Plan, settings=settings(max_examples=2500, stateful_step_count=30, deadline=None))


def add(plan: Parcelling[int], count: int, now: float, size: int = 10) -> None:
    for number in range(count):
        plan.add(Partition(number % 4), b"x" * size, number, now)


def test_an_idle_gateway_sends_at_once() -> None:
    plan: Parcelling[int] = Parcelling(4)
    add(plan, 1, 0.0)
    assert plan.due(0.0) == 0


def test_after_a_full_call_a_command_waits_for_company_until_it_is_quiet() -> None:
    plan: Parcelling[int] = Parcelling(4, Pace(quiet=0.005, gaps=0.0, longest=0.25))
    add(plan, 50, 0.0)
    for parcel in plan.take(0.0)[0]:
        plan.confirmed(parcel)
    add(plan, 1, 0.01)
    assert plan.due(0.01) == pytest.approx(0.005)
    assert plan.due(0.015) == 0


def test_while_a_call_is_out_a_part_of_a_call_waits_for_the_partitions_that_come_back_with_it() -> None:
    plan: Parcelling[int] = Parcelling(16, Pace(longest=0.25))
    for number in range(16 * 20):
        plan.add(Partition(number % 16), b"x", number, 0.0)
    (call,) = plan.take(0.0)
    assert len(call) == 10
    assert plan.due(0.01) == pytest.approx(0.24)
    for parcel in call[:4]:
        plan.confirmed(parcel)
        plan.add(parcel.partition, b"x", 0, 0.01)
    assert plan.due(0.02) is not None
    (second,) = plan.take(0.02)
    assert len(second) == 10
    plan.add(Partition(9), b"x", 0, 0.02)
    late = plan.take(0.6)
    assert not late, "its partition is still under way"


def test_quiet_is_measured_in_usual_gaps_so_that_a_halting_stream_is_not_cut_at_every_halt() -> None:
    plan: Parcelling[int] = Parcelling(4, Pace(quiet=0.005, gaps=20.0, growth=1.0))
    for number in range(200):
        plan.add(Partition(0), b"x", number, number * 0.002)
    for parcel in plan.take(0.4)[0]:
        plan.confirmed(parcel)
    plan.add(Partition(1), b"x", 0, 0.4)
    assert plan.due(0.4) == pytest.approx(0.04, rel=0.05)


@pytest.mark.parametrize(
    ("rate", "longest", "linger"),
    [(300, 0.25, 0.06), (750, 0.25, 0.15), (20_000, 0.25, 0.25), (300, 0.5, 0.12), (20_000, 0.1, 0.1), (300, 0.0, 0.0)],
)
def test_at_a_steady_rate_the_linger_is_proportional_to_it_up_to_the_longest(rate: int, longest: float, linger: float) -> None:
    plan: Parcelling[int] = Parcelling(4, replace(pace_of(longest), enough=10_000))
    add(plan, 50, 0.0)
    for parcel in plan.take(0.0)[0]:
        plan.confirmed(parcel)
    step = 0
    while plan.due(step / rate) != 0:
        plan.add(Partition(0), b"x", step, step / rate)
        step += 1
    assert step / rate == pytest.approx(linger, rel=0.12, abs=0.005)


def test_enough_for_full_calls_goes_at_once() -> None:
    plan: Parcelling[int] = Parcelling(4, Pace(enough=20))
    add(plan, 50, 0.0)
    for parcel in plan.take(0.0)[0]:
        plan.confirmed(parcel)
    add(plan, 20, 0.001)
    assert plan.due(0.001) == 0


def test_the_buffer_is_bounded_in_bytes() -> None:
    plan: Parcelling[int] = Parcelling(4)
    with pytest.raises(BufferFull):
        add(plan, 1000, 0.0, size=200_000)
    assert plan.bytes <= 32 * 1024 * 1024


def test_the_buffer_is_bounded_in_commands() -> None:
    plan: Parcelling[int] = Parcelling(4)
    with pytest.raises(BufferFull):
        add(plan, MAX_WAITING + 1, 0.0)
    assert plan.count == MAX_WAITING
