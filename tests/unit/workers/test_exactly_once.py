"""A model check of the write side: whatever the store and the queue do, a command acts at most once and is told the truth."""

from collections.abc import Callable
from itertools import chain, repeat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.envelope import Command
from tests.support.group_model import Group
from tests.support.said import create, delete, said, update
from tests.support.scripted_store import APPENDS, READS, ScriptedStore
from tests.support.virtual_time import run_virtually

TEXTS = st.sampled_from(["a", "b"])
ACTORS = st.sampled_from(["ann", "ann", "bob"])
IDENTS = st.sampled_from(["1", "1", "1", "2"])
EXPECTED = st.sampled_from([None, None, None, 0, 1, 2])
COMMAND = st.one_of(
    st.builds(create, IDENTS, TEXTS, actor=ACTORS),
    st.builds(update, IDENTS, TEXTS, actor=ACTORS, expected_version=EXPECTED),
    st.builds(update, IDENTS, TEXTS, actor=ACTORS),
    st.builds(delete, IDENTS, actor=ACTORS),
    st.builds(lambda: said("account.open", {"account_id": "1"})),
    st.builds(lambda e: said("account.book", {"account_id": "1", "entries": e}), st.lists(st.integers(-2, 3), max_size=2)),
)
RARELY = st.sampled_from([False, False, False, True])
DELETED = st.sampled_from([True, True, True, False, 2, 3])
"""All that is done, nothing of it, or all but one."""
TURN = st.tuples(st.integers(0, 1), st.integers(1, 3), RARELY, DELETED, RARELY)
FAULTS = st.lists(st.sampled_from(["", "", *APPENDS]), max_size=12)
AWAY = st.lists(st.sampled_from(["", "", "", *READS]), max_size=6)


@st.composite
def parcels(draw: st.DrawFn) -> list[list[Command]]:
    """Some commands are sent again later, as a caller without an answer does."""
    sent: list[list[Command]] = []
    for _ in range(draw(st.integers(1, 9))):
        old = [command for parcel in sent for command in parcel]
        choice = st.one_of(COMMAND, st.sampled_from(old)) if old else COMMAND
        sent.append(draw(st.lists(choice, min_size=1, max_size=3)))
    return sent


def scripted(faults: list[str], away: list[str], turns: list[int]) -> ScriptedStore:
    script = {"append": chain(faults, repeat("")), "read": chain(away, repeat(""))}
    slow = chain(turns, repeat(0))

    def next_fault(kind: str) -> str:
        return next(script[kind])

    lets_others: Callable[[], int] = lambda: next(slow)  # noqa: E731
    return ScriptedStore(next_fault, lets_others)


Turns = list[tuple[int, int, bool, bool | int, bool]]


async def live(group: Group, turns: Turns) -> list[str]:
    for first, most, lapse, gone, crash in turns:
        await group.turn(first, most, lapse=lapse, delete=gone, crash=crash)
    for number in range(100):
        if not group.messages:
            break
        await group.turn(number % 2, 1, lapse=False, delete=True, crash=False)
    assert not group.messages
    return await group.verdict() + await group.believed()


LIVES = st.tuples(parcels(), st.lists(TURN, max_size=8), FAULTS, AWAY, st.lists(st.integers(0, 4), max_size=30))


@given(LIVES)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_command_acts_at_most_once_and_is_told_the_truth(
    lived: tuple[list[list[Command]], Turns, list[str], list[str], list[int]],
) -> None:
    assert wrongs(*lived) == []


@pytest.mark.slow
@given(LIVES)
@settings(max_examples=2500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_same_many_times(lived: tuple[list[list[Command]], Turns, list[str], list[str], list[int]]) -> None:
    assert wrongs(*lived) == []


def wrongs(sent: list[list[Command]], turns: Turns, faults: list[str], away: list[str], slow: list[int]) -> list[str]:
    """What one life of a message group came to that it must not."""
    group = Group(scripted(faults, away, slow), [(f"m{n}", commands) for n, commands in enumerate(sent)])
    return run_virtually(live(group, turns))
