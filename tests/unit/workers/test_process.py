"""How a role ends: its exit code, and the one line that says why."""

import asyncio

import pytest

from runtime import logs
from runtime.aws import AwsRefused
from runtime.errors import ConfigurationError
from runtime.settings import Settings, load
from workers.process import DONE, FAILED, WRONG, Ready, run_role

SETTINGS = load({})


def ending(wrong: Exception | None, depth: int) -> int:
    async def serve(settings: Settings, stop: asyncio.Event, ready: Ready) -> None:
        await _in_groups(wrong, depth)

    return run_role(SETTINGS, "relay", serve)


async def _in_groups(wrong: Exception | None, depth: int) -> None:
    if depth:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_in_groups(wrong, depth - 1))
    elif wrong is not None:
        raise wrong


@pytest.fixture(autouse=True)
def configured_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "configure", lambda *_: None)


def test_a_role_that_was_stopped() -> None:
    assert ending(None, 0) == DONE


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_wrong_settings_are_one_line_for_the_operator(depth: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(ConfigurationError(["the control table's row lease is not a lease of ours"]), depth) == WRONG
    assert capsys.readouterr().err == "headrace run relay: the control table's row lease is not a lease of ours\n"


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("wrong", [AwsRefused("QueueDoesNotExist", "gone"), OSError("in use")])
def test_what_broke_is_logged_and_not_traced(wrong: Exception, depth: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(wrong, depth) == FAILED
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    assert f"{type(wrong).__name__}: {wrong}" in out


def test_a_bug_is_no_exit_code_of_ours() -> None:
    with pytest.raises(ExceptionGroup):
        ending(ZeroDivisionError(), 1)
