"""The mend of MiniStack: what it remembers is what MiniStack would remember, and only the MiniStack that is known is touched."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.local import ministack
from headrace.local.ministack_start import KNOWN, MENDED, forget_expired, mend

NOW = 1_000_000.0


def as_ministack_does(remembered: dict[str, Any]) -> dict[str, Any]:
    return {key: entry for key, entry in remembered.items() if entry["expire"] > NOW}


@given(st.lists(st.integers(-3, 3).map(lambda seconds: NOW + seconds), max_size=30).map(sorted))
def test_what_has_expired_goes_and_the_rest_stays(expiries: list[float]) -> None:
    queue = {"dedup_cache": {f"id-{number}": {"expire": at} for number, at in enumerate(expiries)}}
    left = as_ministack_does(queue["dedup_cache"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.time", lambda: NOW)
        forget_expired(queue)
    assert queue == {"dedup_cache": left}


def test_a_topic_that_never_remembered_anything_remembers_nothing() -> None:
    topic: dict[str, Any] = {}
    forget_expired(topic)
    assert topic == {"dedup_cache": {}}


def modules() -> dict[str, SimpleNamespace]:
    return {name: SimpleNamespace(**{function: as_ministack_does}) for name, function in MENDED}


def functions(found: dict[str, SimpleNamespace]) -> list[Any]:
    return [getattr(found[name], function, None) for name, function in MENDED]


def test_the_one_that_is_installed_is_the_one_that_is_known() -> None:
    assert ministack.VERSION == KNOWN


def test_the_known_one_is_mended() -> None:
    found = modules()
    assert mend(KNOWN, found.__getitem__)
    assert functions(found) == [forget_expired] * len(MENDED)


def test_another_version_is_left_as_it_is() -> None:
    found = modules()
    assert not mend("9.9.9", found.__getitem__)
    assert functions(found) == [as_ministack_does] * len(MENDED)


def test_where_a_function_is_missing_all_is_left_as_it_is() -> None:
    found = modules()
    name, function = MENDED[-1]
    delattr(found[name], function)
    assert not mend(KNOWN, found.__getitem__)
    assert functions(found) == [as_ministack_does] * (len(MENDED) - 1) + [None]
