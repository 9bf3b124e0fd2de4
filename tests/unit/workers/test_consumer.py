"""The loop every queue reader shares, on a scripted queue: what is kept, deleted, buried, given back, and how it ends."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic

import pytest

from runtime.errors import Fatal, Retryable
from runtime.metrics import REGISTRY
from tests.support.scripted_queue import ScriptedQueue, delivery
from workers import consumer, polling
from workers.consumer import Handled, consume
from workers.queue import Delivery

M1, M2, M3 = delivery("m1"), delivery("m2"), delivery("m3")
Handler = Callable[[Sequence[Delivery]], Awaitable[Handled]]
TINY = 0.06


@pytest.fixture(autouse=True)
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue was silent for long, so that a stop waits for no poll."""
    monkeypatch.setattr(polling, "LIVELY_SECONDS", 0)
    monkeypatch.setattr(polling, "GRACE_SECONDS", 0.01)


async def run(queue: ScriptedQueue, handle: Handler, lanes: int = 1) -> None:
    """Until everything the queue had was handed over and settled."""
    stop = asyncio.Event()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(consume(queue, handle, stop, lanes))
        await queue.polling.wait()
        stop.set()


def answering(handled: Handled) -> Handler:
    async def handle(deliveries: Sequence[Delivery]) -> Handled:
        return handled

    return handle


async def test_what_is_done_is_deleted_and_the_rest_given_back_last_first() -> None:
    other = delivery("other", "p1")
    queue = ScriptedQueue([M1, other, M2, M3])
    await run(queue, answering(Handled(done=[M1, other])))
    assert queue.deleted == ["m1", "other"]
    assert queue.extended == [(["m3", "m2"], consumer.GIVE_BACK_SECONDS)]


async def test_what_is_done_behind_an_unfinished_message_of_its_group_is_given_back_with_it() -> None:
    other = delivery("other", "p1")
    queue, gone = ScriptedQueue([M1, other, M2, M3]), list[str]()
    await run(queue, answering(Handled([M2, M3, other], deleted=lambda each: gone.extend(d.message_id for d in each))))
    assert (queue.deleted, gone) == (["other"], ["other"])
    assert queue.extended == [(["m3", "m2", "m1"], consumer.GIVE_BACK_SECONDS)]


async def test_a_message_that_is_never_finished_is_set_aside_before_those_behind_it_are_worn_out_with_it() -> None:
    queue = ScriptedQueue([delivery("m1", receives=8), delivery("m2", receives=8)])
    await run(queue, answering(Handled()))
    assert queue.buried == [("m1", "received 8 times and never finished")]
    assert (queue.deleted, queue.extended) == (["m1"], [(["m2"], consumer.GIVE_BACK_SECONDS)])


async def test_a_batch_that_raised_sets_nothing_aside() -> None:
    """Nobody knows whose fault it was."""

    async def handle(deliveries: Sequence[Delivery]) -> Handled:
        raise Fatal("wrong")

    queue = ScriptedQueue([delivery("m1", receives=8), delivery("m2", receives=8)])
    await run(queue, handle)
    assert (queue.buried, queue.deleted, queue.extended) == ([], [], [(["m2", "m1"], consumer.GIVE_BACK_SECONDS)])


async def test_poison_is_buried_with_its_reason_before_it_is_deleted() -> None:
    queue = ScriptedQueue([M1, M2])
    await run(queue, answering(Handled(done=[M2], poison=[(M1, "not a parcel")])))
    assert queue.buried == [("m1", "not a parcel")]
    assert queue.deleted == ["m1", "m2"]
    assert queue.extended == []


async def test_poison_that_cannot_be_buried_is_not_deleted() -> None:
    class NoGrave(ScriptedQueue):
        async def bury(self, delivery: Delivery, reason: str) -> None:  # noqa: ARG002 - the queue's shape
            raise Retryable("away")

    queue = NoGrave([M1, M2])
    await run(queue, answering(Handled(done=[M2], poison=[(M1, "bad")])))
    assert queue.deleted == []


async def test_while_what_it_needs_is_away_a_batch_stays_in_hand() -> None:
    """Received again and again it would count as poison."""
    attempts = []

    async def handle(deliveries: Sequence[Delivery]) -> Handled:
        attempts.append(len(deliveries))
        if len(attempts) < 4:
            raise Retryable("store away")
        return Handled(list(deliveries))

    queue = ScriptedQueue([M1, M2])
    await run(queue, handle)
    assert (attempts, queue.deleted, queue.extended) == ([2, 2, 2, 2], ["m1", "m2"], [])


async def test_what_waits_stays_in_hand_with_what_is_behind_it_while_the_rest_is_settled() -> None:
    """However often it was received: it would be set aside if it were given back."""
    waits, other, broken = delivery("waits", receives=8), delivery("other", "p1"), delivery("broken", "p2")
    queue, attempts = ScriptedQueue([M1, waits, other, M2, broken]), list[list[str]]()

    async def handle(deliveries: Sequence[Delivery]) -> Handled:
        attempts.append([each.message_id for each in deliveries])
        if len(attempts) == 3:
            return Handled(list(deliveries))
        return Handled([each for each in deliveries if each in (M1, other, M2)], spared={"waits"})

    await run(queue, handle)
    assert attempts == [["m1", "waits", "other", "m2", "broken"], ["waits", "m2"], ["waits", "m2"]]
    assert queue.deleted == ["m1", "other", "waits", "m2"]
    assert (queue.buried, queue.extended) == ([], [(["broken"], consumer.GIVE_BACK_SECONDS)])


async def test_what_the_handler_waited_for_itself_is_tried_again_without_growing_pauses() -> None:
    times: list[float] = []

    async def handle(deliveries: Sequence[Delivery]) -> Handled:
        times.append(monotonic())
        return Handled(list(deliveries)) if len(times) == 12 else Handled(spared={"m1"}, waited=True)

    queue = ScriptedQueue([M1])
    await run(queue, handle)
    assert queue.deleted == ["m1"]
    assert times[-1] - times[0] < 2  # at most 50 ms each; growing pauses, the last alone would be longer


async def test_what_is_kept_is_extended_and_what_was_settled_is_not_missed() -> None:
    """An extension that began before the rest was deleted does not find it any more."""

    class Late(ScriptedQueue):
        async def extend(self, deliveries: Sequence[Delivery], seconds: int) -> list[Delivery]:
            if not self.extended:
                tried.set()
                await settled.wait()
            await super().extend(deliveries, seconds)
            return [each for each in deliveries if each.message_id in self.deleted]

        async def delete(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
            missed = await super().delete(deliveries)
            settled.set()
            return missed

    tried, settled = asyncio.Event(), asyncio.Event()
    queue = Late([M1, M2], visibility=1)
    attempts = 0

    async def handle(deliveries: Sequence[Delivery]) -> Handled:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            await tried.wait()
            return Handled([M1], spared={"m2"})
        while len(queue.extended) < 2:
            queue.extension.clear()
            await queue.extension.wait()
        return Handled(list(deliveries))

    await run(queue, handle)
    assert (queue.extended[:2], queue.deleted) == ([(["m1", "m2"], 1), (["m2"], 1)], ["m1", "m2"])


async def test_stop_gives_back_what_is_kept() -> None:
    stop, tried = asyncio.Event(), asyncio.Event()

    async def handle(deliveries: Sequence[Delivery]) -> Handled:
        tried.set()
        return Handled([M1], spared={"m2"})

    queue = ScriptedQueue([M1, M2, M3])
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(consume(queue, handle, stop, 1))
        await tried.wait()
        stop.set()
    assert (queue.deleted, queue.extended) == (["m1"], [(["m3", "m2"], consumer.GIVE_BACK_SECONDS)])


async def test_stop_gives_back_what_still_cannot_be_handled() -> None:
    stop, tried = asyncio.Event(), asyncio.Event()

    async def handle(deliveries: Sequence[Delivery]) -> Handled:
        tried.set()
        raise Retryable("store away")

    queue = ScriptedQueue([M1, M2])
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(consume(queue, handle, stop, 1))
        await tried.wait()
        stop.set()
    assert queue.extended == [(["m2", "m1"], consumer.GIVE_BACK_SECONDS)]


async def test_a_handler_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "HANDLE_SECONDS", TINY)

    async def handle(deliveries: Sequence[Delivery]) -> Handled:
        await asyncio.Event().wait()
        raise AssertionError

    queue = ScriptedQueue([M1])
    await run(queue, handle)
    assert (queue.deleted, queue.extended) == ([], [(["m1"], consumer.GIVE_BACK_SECONDS)])


@pytest.mark.parametrize("wrong", [Fatal("wrong"), ZeroDivisionError("bug")])
async def test_a_handler_that_raises_gives_its_batch_back_and_the_loop_goes_on(wrong: Exception) -> None:
    batches = []

    async def handle(deliveries: Sequence[Delivery]) -> Handled:
        batches.append([each.message_id for each in deliveries])
        if len(batches) == 1:
            raise wrong
        return Handled(list(deliveries))

    queue = ScriptedQueue([M1, M2], [M3])
    await run(queue, handle)
    assert (batches, queue.deleted) == ([["m1", "m2"], ["m3"]], ["m3"])
    assert queue.extended == [(["m2", "m1"], consumer.GIVE_BACK_SECONDS)]


async def test_messages_in_hand_are_extended_at_a_third_of_their_visibility() -> None:
    queue = ScriptedQueue([M1, M2], visibility=TINY)

    async def handle(deliveries: Sequence[Delivery]) -> Handled:
        while len(queue.extended) < 5:
            queue.extension.clear()
            await queue.extension.wait()
        return Handled(list(deliveries))

    began = monotonic()
    await run(queue, handle)
    assert queue.extended[:5] == [(["m1", "m2"], TINY)] * 5
    assert monotonic() - began > TINY  # longer than one visibility, and still ours:
    assert queue.deleted == ["m1", "m2"]


async def test_a_batch_that_lost_a_message_deletes_and_gives_back_nothing() -> None:
    queue = ScriptedQueue([M1, M2], visibility=TINY)
    queue.lost = {"m2"}

    async def handle(deliveries: Sequence[Delivery]) -> Handled:
        await queue.extension.wait()
        return Handled([M1], [(M2, "bad")])

    await run(queue, handle)
    assert (queue.deleted, queue.buried, len(queue.extended)) == ([], [], 1)


async def test_a_handler_that_held_the_process_past_the_visibility_deletes_nothing() -> None:
    queue = ScriptedQueue([M1], visibility=TINY)

    async def handle(deliveries: Sequence[Delivery]) -> Handled:
        until = monotonic() + TINY
        while monotonic() < until:
            pass  # the loop stands still, so nothing could be extended
        return Handled(list(deliveries))

    await run(queue, handle)
    assert queue.deleted == []


async def test_what_is_in_hand_is_told_until_it_is_settled() -> None:
    told = []

    async def handle(deliveries: Sequence[Delivery]) -> Handled:
        told.append(REGISTRY.get_sample_value("headrace_in_hand_messages"))
        return Handled(done=[deliveries[0]])

    await run(ScriptedQueue([M1, M2]), handle)
    assert (told, REGISTRY.get_sample_value("headrace_in_hand_messages")) == ([2.0], 0.0)


async def test_only_confirmed_deletions_are_reported() -> None:
    queue = ScriptedQueue([M1, M2])
    queue.kept = {"m1"}
    gone: list[str] = []
    handled = Handled([M1, M2], deleted=lambda each: gone.extend(d.message_id for d in each))
    await run(queue, answering(handled))
    assert gone == ["m2"]


async def test_stop_ends_the_long_poll_at_once() -> None:
    queue, stop = ScriptedQueue(), asyncio.Event()
    async with asyncio.timeout(1), asyncio.TaskGroup() as tasks:
        tasks.create_task(consume(queue, answering(Handled()), stop, 2))
        await queue.polling.wait()
        began = monotonic()
        stop.set()
    assert monotonic() - began < 0.5


async def test_stop_finishes_what_is_in_hand_and_receives_no_more() -> None:
    queue, stop, begun = ScriptedQueue([M1], [M2]), asyncio.Event(), asyncio.Event()
    go_on = asyncio.Event()

    async def handle(deliveries: Sequence[Delivery]) -> Handled:
        begun.set()
        await go_on.wait()
        return Handled(list(deliveries))

    async with asyncio.timeout(2), asyncio.TaskGroup() as tasks:
        tasks.create_task(consume(queue, handle, stop, 1))
        await begun.wait()
        stop.set()
        go_on.set()
    assert queue.deleted == ["m1"]


@pytest.mark.parametrize("lanes", [1, 2])
async def test_a_drain_that_takes_too_long_deletes_nothing(monkeypatch: pytest.MonkeyPatch, lanes: int) -> None:
    """Also when every lane is busy, so that the loop waits for one."""
    monkeypatch.setattr(consumer, "DRAIN_SECONDS", 0.02)  # twenty seconds in a process
    queue, stop, begun = ScriptedQueue([M1]), asyncio.Event(), asyncio.Event()

    async def handle(deliveries: Sequence[Delivery]) -> Handled:
        begun.set()
        await asyncio.Event().wait()
        return Handled(list(deliveries))

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(consume(queue, handle, stop, lanes))
        await begun.wait()
        stop.set()
    assert queue.deleted == []


async def test_no_batch_is_fetched_that_no_lane_is_free_for() -> None:
    queue = ScriptedQueue([M1], [M2], [M3])
    in_hand, most, both = 0, 0, asyncio.Event()

    async def handle(deliveries: Sequence[Delivery]) -> Handled:
        nonlocal in_hand, most
        in_hand += 1
        most = max(most, in_hand)
        if in_hand == 2:
            both.set()
        await both.wait()
        await asyncio.sleep(0)
        in_hand -= 1
        return Handled(list(deliveries))

    await run(queue, handle, lanes=2)
    assert most == 2
    assert sorted(queue.deleted) == ["m1", "m2", "m3"]


async def test_a_receive_that_fails_or_is_empty_is_followed_by_another() -> None:
    queue = ScriptedQueue(None, [], None, [M1])
    await run(queue, answering(Handled([M1])))
    assert queue.deleted == ["m1"]
