"""What a look at a stack comes to, and how the command line answers wrong use."""

from pathlib import Path

import msgspec
import pytest

from headrace import cli
from headrace.local.state import DEFAULT, folder_of
from headrace.status import NO_STACK, READY, UNREADY, PartStatus, Status, exit_code, render
from runtime.errors import Retryable


def status(*, phase: str = "ready", ready: bool = True, outside: str | None = None) -> Status:
    parts = (
        PartStatus("gateway", "gateway", 7, True, "http://127.0.0.1:8080", 0),
        PartStatus("relay", "relay", 8 if ready else None, ready, "http://127.0.0.1:8081", 2),
    )
    return Status(
        "ministack-1.5.33", "http://127.0.0.1:8080", "/s", parts, {"rds": 3}, {"rds": 0.25}, 1, phase, outside, "partiql:25", 16, 0.875
    )


def test_all_ready_is_0() -> None:
    assert exit_code(status()) == READY == 0


@pytest.mark.parametrize("phase", ["starting", "draining"])
def test_a_stack_on_its_way_is_1(phase: str) -> None:
    assert exit_code(status(phase=phase)) == UNREADY == 1


def test_a_part_that_is_not_ready_is_1() -> None:
    assert exit_code(status(ready=False)) == UNREADY


def test_no_stack_is_2() -> None:
    assert exit_code(None) == NO_STACK == 2


def test_people_are_told_of_every_part_and_of_the_folder_outside() -> None:
    said = render(status(ready=False, outside="/tmp/headrace-1"))
    for word in (
        "gateway",
        "NOT READY",
        "restarted 2 times",
        "/tmp/headrace-1",
        "rds 3",
        "rds 0.2 s",
        "parked 1",
        "partiql:25",
        "partitions 16",
        "hits 88%",
    ):
        assert word in said


def test_people_see_that_the_partitions_are_being_changed() -> None:
    changing = msgspec.structs.replace(status(), changing_to=32)
    assert "partitions 16 (changing to 32: no commands are taken)" in render(changing)
    assert "changing" not in render(status())


def test_people_see_that_streams_were_given_up() -> None:
    assert "parked 1 (2 more discarded)" in render(msgspec.structs.replace(status(), discarded=2))
    assert "discarded" not in render(status())


def test_status_and_down_of_a_folder_without_a_stack_are_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("status", "down"):
        assert cli.main([command, "--state", str(tmp_path)]) == 2
        said = capsys.readouterr()
        assert said.err == f"headrace {command}: no stack is up in {tmp_path}\n"
        assert said.out == ""


def test_wrong_use_is_one_line_and_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sing"]) == 2
    with pytest.raises(SystemExit) as ended:
        cli.main(["up", "--port", "x"])
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_what_several_tasks_met_is_one_line_and_a_bug_keeps_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    def fails(*wrong: Exception) -> int:
        raise ExceptionGroup("tasks", [ExceptionGroup("more", wrong), Retryable("away")])

    assert cli._told("audit", lambda: fails(Retryable("slow"), Retryable("away"))) == 1
    assert capsys.readouterr().err == "headrace audit: Retryable: slow; Retryable: away\n"
    with pytest.raises(ExceptionGroup):
        cli._told("audit", lambda: fails(KeyError("bug")))


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in cli.COMMANDS)


def test_the_state_folder_is_as_asked_or_as_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_STATE", "/from/environment")
    assert folder_of("/asked") == Path("/asked")
    assert folder_of(None) == Path("/from/environment")
    monkeypatch.delenv("HEADRACE_STATE")
    assert folder_of(None) == Path.cwd() / DEFAULT


def test_people_see_which_generation_is_read_and_what_is_fed_beside_it() -> None:
    assert "generation" not in render(msgspec.structs.replace(status(), generations={"rds": [1], "cache": [1]}))
    rebuilt = render(msgspec.structs.replace(status(), generations={"rds": [2, 1, 3], "cache": [4]}))
    assert "rds     generation 2, fed beside it: 1, 3\n" in f"{rebuilt}\n"
    assert "cache   generation 4\n" in f"{rebuilt}\n"
