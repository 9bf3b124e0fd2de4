"""Which AWS and which port a stack gets."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from headrace.errors import WrongUse
from headrace.local import localstack, ministack
from headrace.local.backends import choose
from headrace.local.ports import GATEWAY_PORT, HOST, free_port, gateway_port, is_free


def test_what_is_asked_for_is_taken() -> None:
    assert choose("ministack", "http://elsewhere", ()).name == ministack.NAME
    assert choose("localstack", None, ()).name == localstack.NAME
    assert choose("http://127.0.0.1:4566/", "http://elsewhere", ()).name == "http://127.0.0.1:4566"


def test_auto_takes_the_callers_endpoint_first() -> None:
    choice = choose("auto", "http://127.0.0.1:4566", ())
    assert (choice.kind, choice.name) == ("url", "http://127.0.0.1:4566")


def test_auto_takes_localstack_when_all_it_needs_is_here() -> None:
    assert choose("auto", None, ()).kind == "localstack"


def test_auto_takes_ministack_otherwise_and_says_what_is_missing() -> None:
    choice = choose("auto", None, ("Java ≥ 17", "npm"))
    assert choice.kind == "ministack"
    assert "Java ≥ 17, npm" in choice.why


def test_localstack_asked_for_and_not_possible_names_all_that_is_missing() -> None:
    with pytest.raises(WrongUse, match=r"Python ≥ 3\.13, npm"):
        choose("localstack", None, ("Python ≥ 3.13", "npm"))


def test_another_word_is_wrong_use() -> None:
    with pytest.raises(WrongUse, match="not auto, localstack, ministack or a URL"):
        choose("moto", None, ())


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_392"', 8),
        ('openjdk version "25" 2025-09-16', 25),
        ("command not found", 0),
    ],
)
def test_java_says_its_version_in_more_than_one_way(said: str, version: int) -> None:
    assert localstack.major(said) == version


@pytest.fixture
def taken() -> Iterator[int]:
    with closing(socket.socket()) as server:
        server.bind((HOST, 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_port_in_use_is_not_free(taken: int) -> None:
    assert not is_free(taken)


def test_a_port_asked_for_and_taken_is_wrong_use(taken: int) -> None:
    with pytest.raises(WrongUse, match="is taken"):
        gateway_port(taken)


def test_a_port_asked_for_and_free_is_given() -> None:
    port = free_port()
    assert gateway_port(port) == port


def test_port_zero_is_any_free_one() -> None:
    assert is_free(gateway_port(0))


def test_not_asked_for_the_port_is_8080_or_a_free_one() -> None:
    assert gateway_port(None) == GATEWAY_PORT or not is_free(GATEWAY_PORT)


def test_what_is_no_port_is_wrong_use() -> None:
    with pytest.raises(WrongUse, match="0 to 65535"):
        gateway_port(70_000)
