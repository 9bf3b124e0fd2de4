"""The mend of MiniStack: what it remembers is what MiniStack would remember, and only the MiniStack that is known is touched."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.local import ministack, ministack_start
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


def test_nothing_is_looked_at_behind_the_first_that_has_not_expired() -> None:
    queue: dict[str, Any] = {"dedup_cache": {"fresh": {"expire": float("inf")}, "later": {}}}
    forget_expired(queue)
    assert list(queue["dedup_cache"]) == ["fresh", "later"]


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


@pytest.mark.parametrize(("mended", "said"), [(True, ""), (False, "is started as it is")])
def test_it_is_mended_before_it_starts_and_says_so_where_it_could_not_be(
    mended: bool, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    steps: list[str] = []

    def mends(found: str) -> bool:
        steps.append(found)
        return mended

    monkeypatch.setattr(ministack_start, "version", lambda _: KNOWN)
    monkeypatch.setattr(ministack_start, "mend", mends)
    monkeypatch.setattr("runpy.run_module", lambda name, **_: steps.append(name))
    ministack_start.main()
    assert steps == [KNOWN, "ministack"]
    assert said in capsys.readouterr().err
    assert mended == (not said)
