"""What is written down about a stack, and what a command takes from it."""

from pathlib import Path

import pytest

from headrace.errors import WrongUse
from headrace.local import state
from headrace.local.clean import clean
from headrace.local.environment import addresses, credentials, merged, of_process
from headrace.local.roles import ROLES, own_roles, scale_of
from headrace.local.stack import amqp_probe, redacted
from headrace.local.state import Part, Stack

PART = Part("gateway", "gateway", 42, "http://127.0.0.1:8080", "http://127.0.0.1:8080/readyz", 3)
STACK = Stack(supervisor=1, phase="ready", backend="ministack-1.5.33", parts=(PART,), environment={"A": "b"})


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    state.write(tmp_path, STACK)
    assert state.read(tmp_path) == STACK


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    state.write(tmp_path, STACK)
    assert (tmp_path / "stack.json").stat().st_mode & 0o077 == 0


def test_no_folder_no_stack(tmp_path: Path) -> None:
    assert state.read(tmp_path / "none") is None
    assert state.live(tmp_path / "none") is None
    assert state.environment(tmp_path / "none") == {}


def test_what_nobody_owns_is_not_live_whatever_is_written(tmp_path: Path) -> None:
    state.write(tmp_path, STACK)
    assert state.live(tmp_path) is None


def test_what_a_supervisor_owns_is_live(tmp_path: Path) -> None:
    with state.owned(tmp_path):
        state.write(tmp_path, STACK)
        assert state.live(tmp_path) == STACK
        assert state.environment(tmp_path) == {"A": "b"}
    assert not state.is_live(tmp_path)


def test_a_folder_has_one_owner(tmp_path: Path) -> None:
    with state.owned(tmp_path), pytest.raises(WrongUse, match="a stack is up in"), state.owned(tmp_path):
        pass


def test_another_format_or_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text('{"supervisor": 1, "format": 9}')
    with pytest.raises(WrongUse, match="format 9"):
        state.read(tmp_path)
    (tmp_path / "stack.json").write_text('{"supervis')
    with pytest.raises(WrongUse, match="cannot be read"):
        state.read(tmp_path)


def test_clean_removes_the_folder_but_never_a_live_one(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    with state.owned(folder):
        state.write(folder, STACK)
        with pytest.raises(WrongUse):
            clean(folder)
    assert clean(folder) == [folder]
    assert clean(folder) == []


FOUND = addresses("http://127.0.0.1:1", "postgresql://p", "redis://r", "ministack") | credentials(
    {}, emulator=True, endpoint="http://127.0.0.1:1"
)


def test_the_callers_settings_win() -> None:
    known = merged({"HEADRACE_REDIS_URL": "redis://mine"}, FOUND)
    assert known["HEADRACE_REDIS_URL"] == "redis://mine"
    assert known["HEADRACE_DATABASE_URL"] == "postgresql://p"


def test_the_callers_keys_and_region_are_not_for_the_stacks_emulator() -> None:
    known = merged({"AWS_ACCESS_KEY_ID": "real", "AWS_SESSION_TOKEN": "t", "AWS_REGION": "eu-west-1"}, FOUND)
    assert (known["AWS_ACCESS_KEY_ID"], known["AWS_REGION"]) == ("test", "us-east-1")
    assert "AWS_SESSION_TOKEN" not in known


def test_a_callers_endpoint_comes_with_the_callers_keys() -> None:
    known = merged({"AWS_ENDPOINT_URL": "http://mine", "AWS_ACCESS_KEY_ID": "real"}, FOUND)
    assert (known["AWS_ENDPOINT_URL"], known["AWS_ACCESS_KEY_ID"]) == ("http://mine", "real")


def test_without_a_stack_nothing_changes() -> None:
    assert merged({"AWS_PROFILE": "x"}, {}) == {"AWS_PROFILE": "x"}


def test_a_url_keeps_the_callers_keys_and_gets_others_on_loopback_only() -> None:
    here, there = "http://127.0.0.1:4566", "https://sqs.us-east-1.amazonaws.com"
    assert "AWS_ACCESS_KEY_ID" not in credentials({"AWS_PROFILE": "x"}, emulator=False, endpoint=here)
    assert "AWS_ACCESS_KEY_ID" not in credentials({}, emulator=False, endpoint=there)
    assert credentials({}, emulator=False, endpoint=here)["AWS_ACCESS_KEY_ID"] == "test"


def test_a_process_on_an_emulator_gets_no_real_token() -> None:
    told = of_process({"AWS_SESSION_TOKEN": "t", "PATH": "/bin"}, FOUND, emulator=True)
    assert "AWS_SESSION_TOKEN" not in told
    assert (told["PATH"], told["AWS_ACCESS_KEY_ID"], told["HEADRACE_LOG"]) == ("/bin", "test", "json")


def test_a_password_is_not_shown() -> None:
    assert redacted("postgresql://me:secret@db:5432/x") == "postgresql://me@db:5432/x"
    assert redacted("redis://:secret@r:6379/0") == "redis://@r:6379/0"
    assert redacted("redis://r:6379/0") == "redis://r:6379/0"


@pytest.mark.parametrize(
    ("url", "probe"),
    [
        ("amqp://user:secret@rabbit.example/vhost", "tcp://rabbit.example:5672"),
        ("amqps://user:secret@rabbit.example/", "tcp://rabbit.example:5671"),
        ("amqp://[::1]:5673/%2F", "tcp://[::1]:5673"),
    ],
)
def test_a_broker_is_asked_where_it_listens_without_a_password(url: str, probe: str) -> None:
    assert amqp_probe(url) == probe


def test_there_is_a_projector_for_rabbitmq_only_where_there_is_one() -> None:
    assert [spec.name for spec in own_roles({})] == list(ROLES[:-1])
    assert [spec.name for spec in own_roles({"HEADRACE_AMQP_URL": ""})] == list(ROLES[:-1])
    assert [spec.name for spec in own_roles({"HEADRACE_AMQP_URL": "amqp://127.0.0.1/"})] == list(ROLES)


def test_a_role_may_have_several_processes() -> None:
    specs = own_roles({}, scale_of("relay=2,projector-rds=3"))
    assert [(spec.name, spec.role) for spec in specs] == [
        ("gateway", "gateway"),
        ("commands", "commands"),
        ("relay-1", "relay"),
        ("relay-2", "relay"),
        ("projector-rds-1", "projector-rds"),
        ("projector-rds-2", "projector-rds"),
        ("projector-rds-3", "projector-rds"),
        ("projector-cache", "projector-cache"),
    ]
    assert {spec.argv[-2:] for spec in specs if spec.role == "relay"} == {("run", "relay")}


@pytest.mark.parametrize("text", ["relay", "relay=0", "relay=33", "relay=two", "relay=-1", "aws=2", "projector-amqp=2"])
def test_a_scale_that_is_none_is_wrong_use(text: str) -> None:
    with pytest.raises(WrongUse, match="--scale"):
        own_roles({}, scale_of(text))
