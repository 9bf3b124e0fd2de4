"""What becomes of each message of a batch: whatever was done, poison or neither, and however often it was received."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.scripted_queue import delivery
from workers.queue import Delivery
from workers.settling import Handled, settlement, worn_out

MOST = 10
VERDICTS = st.sampled_from(["done", "done", "poison", "unfinished", "spared"])
MESSAGE = st.tuples(st.sampled_from(["p0", "p1", "p2"]), VERDICTS, st.integers(1, MOST))


def batch(messages: Sequence[tuple[str, str, int]]) -> tuple[list[Delivery], dict[str, str], Handled]:
    deliveries = [delivery(f"m{number}", group, receives) for number, (group, _, receives) in enumerate(messages)]
    verdicts = {each.message_id: verdict for each, (_, verdict, _) in zip(deliveries, messages, strict=True)}
    done = [each for each in deliveries if verdicts[each.message_id] == "done"]
    poison = [(each, "bad") for each in deliveries if verdicts[each.message_id] == "poison"]
    return deliveries, verdicts, Handled(done, poison, spared={ident for ident, verdict in verdicts.items() if verdict == "spared"})


@given(st.lists(MESSAGE, max_size=10))
@settings(max_examples=3000, deadline=None)
def test_a_group_is_finished_from_its_front_only(messages: list[tuple[str, str, int]]) -> None:
    deliveries, verdicts, handled = batch(messages)
    settled = settlement(deliveries, handled, MOST)
    assert sorted(each.message_id for each in settled.delete + settled.give_back + settled.keep) == sorted(verdicts)
    buried = {each.message_id for each, _ in settled.bury}
    assert buried <= {each.message_id for each in settled.delete}
    for group in {each.group for each in deliveries}:
        of_group = [each for each in deliveries if each.group == group]
        gone = {each.message_id for each in settled.delete if each.group == group}
        rest = [each for each in of_group if each.message_id not in gone]
        kept = bool(rest) and verdicts[rest[0].message_id] == "spared"
        assert [each for each in settled.keep if each.group == group] == (rest if kept else [])
        assert [each for each in settled.give_back if each.group == group] == ([] if kept else rest[::-1])
        assert all(verdicts[each] == "done" or each in buried for each in gone)
        stop = next((place for place, each in enumerate(of_group) if each.message_id not in gone), len(of_group))
        front, behind = of_group[:stop], of_group[stop:]
        assert all(verdicts[each.message_id] == "done" and worn_out(each, MOST) for each in behind if each.message_id in gone)
        aside = [each for each in front if verdicts[each.message_id] in ("unfinished", "spared")]
        assert len(aside) <= 1
        assert all(worn_out(each, MOST) and verdicts[each.message_id] == "unfinished" for each in aside)
        for each in behind[:1]:
            assert verdicts[each.message_id] == "spared" or (
                verdicts[each.message_id] == "unfinished" and (aside or not worn_out(each, MOST))
            )


def lived(waiting: list[Delivery], never: set[str], waits: set[str]) -> list[str]:
    """What of these messages ends as a dead letter. The queue itself moves what was received too often, here as on SQS."""
    dead = []
    for _ in range(3 * MOST):
        dead += [each.message_id for each in waiting if each.receives >= MOST]
        received = [replace(each, receives=each.receives + 1) for each in waiting if each.receives < MOST]
        done = [each for each in received if each.message_id not in never | waits]
        settled = settlement(received, Handled(done, spared=waits), MOST)
        dead += [each.message_id for each, _ in settled.bury]
        waiting = settled.keep or settled.give_back[::-1]  # what is kept in hand is given back too, in the end
    assert waiting == []
    return dead


@given(st.lists(st.booleans(), min_size=1, max_size=10))
@settings(max_examples=500, deadline=None)
def test_what_is_done_is_no_dead_letter_because_of_its_neighbours(bad: list[bool]) -> None:
    messages = [delivery(f"m{number}", receives=0) for number in range(len(bad))]
    never = {each.message_id for each, is_bad in zip(messages, bad, strict=True) if is_bad}
    assert set(lived(messages, never, set())) == never
    assert set(lived(messages, set(), never)) == never


def test_what_waits_behind_messages_that_are_never_finished_is_tried_before_it_is_worn_out() -> None:
    """Up to two of them: nothing behind an unfinished one is tried here."""
    waiting = [delivery(f"m{number}", receives=0) for number in range(5)]
    buried = []
    for _ in range(MOST):
        received = [replace(each, receives=each.receives + 1) for each in waiting]
        tried = list(takewhile(lambda each: each.message_id not in ("m0", "m2"), received))
        spared = {each.message_id for each in received[len(tried) + 1 :]}
        settled = settlement(received, Handled(tried, spared=spared), MOST)
        buried += [(each.message_id, each.receives) for each, _ in settled.bury]
        waiting = settled.keep or settled.give_back[::-1]
    assert (buried, waiting) == ([("m0", 8), ("m2", 9)], [])


def test_a_queue_that_gives_up_early_leaves_a_message_half_of_its_receives() -> None:
    assert [worn_out(delivery("m", receives=number), 3) for number in (1, 2, 3)] == [False, True, True]
