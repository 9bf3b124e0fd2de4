"""What a worker remembers of streams: as much as fits, the newest first."""

import pytest

from events.deciding import confirm, decide
from events.history import History
from tests.support.said import REGISTRY, create, empty, update
from workers.state_cache import ID_BYTES, StateCache, weight


def history(ident: str, updates: int = 0, text: str = "a") -> History:
    found = empty(create(ident).stream)
    commands = [create(ident), *(update(ident, f"{text}{number}") for number in range(updates))]
    confirm(found, decide(found, commands, REGISTRY, full=True))
    return found


def test_the_weight_grows_with_the_state_and_the_ids() -> None:
    assert weight(history("1", 3, "x" * 5000)) > weight(history("1", 3)) + 5000
    assert weight(history("1", 9)) >= weight(history("1", 3)) + 6 * ID_BYTES


def test_what_was_not_used_for_longest_goes_when_the_bytes_are_full() -> None:
    cache = StateCache(most=5 * weight(history("1")))
    for ident in "12345":
        cache.put(history(ident))
    used = cache.take(create("1").stream)
    assert used is not None
    cache.put(used)
    cache.put(history("6"))
    assert [cache.peek(create(ident).stream) is not None for ident in "123456"] == [True, False, True, True, True, True]


def test_bytes_are_those_of_the_entries_whatever_comes_and_goes() -> None:
    cache = StateCache(most=20_000)
    for number in range(200):
        cache.put(history(f"{number % 17}", number % 5))
        cache.take(create(f"{number % 3}").stream)
        entries = [cache.peek(create(f"{ident}").stream) for ident in range(17)]
        assert cache.bytes == sum(weight(each) for each in entries if each is not None) <= 20_000


def test_one_giant_does_not_empty_the_cache() -> None:
    cache = StateCache(most=40_000)
    cache.put(history("1"))
    cache.put(history("2", 1, "x" * 9000))
    assert cache.peek(create("1").stream) is not None
    assert cache.peek(create("2").stream) is None


@pytest.mark.parametrize("newer_first", [True, False])
def test_the_newer_of_two_is_kept(newer_first: bool) -> None:
    cache, old, new = StateCache(), history("1"), history("1", 2)
    for each in (new, old) if newer_first else (old, new):
        cache.put(each)
    assert cache.peek(old.stream) is new


def test_a_state_that_cannot_be_encoded_has_a_weight_too() -> None:
    odd = history("1")
    odd.state = {(): {1j}}
    assert weight(odd) > 0
