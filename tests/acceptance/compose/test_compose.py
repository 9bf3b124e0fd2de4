"""A newcomer's way with Docker: the stack comes up, keeps what it is told, shows it, and ends cleanly."""

import time
import uuid
from typing import Any, Final

import httpx

from tests.acceptance.compose.engine import ROLES, Compose

GRACE_SECONDS: Final = 30
QUIET_SECONDS: Final = 15
TEXT: Final = "Grüße 🌊 שלום"


def post(client: httpx.Client) -> tuple[str, dict[str, Any]]:
    """Path and receipt of a new comment that was applied while we waited."""
    answer = client.post(
        f"/pictures/picture-{uuid.uuid4().hex}/comments",
        json={"text": TEXT},
        headers={"Prefer": "wait=10", "Headrace-Actor": "ada"},
    )
    assert answer.status_code == 201, answer.text
    receipt: dict[str, Any] = answer.json()
    assert receipt["status"] == "applied"
    return answer.headers["Location"], receipt


def read(client: httpx.Client, path: str, receipt: dict[str, Any]) -> httpx.Response:
    return client.get(path, params={"after": receipt["token"], "wait": "10"})


def until_quiet(client: httpx.Client, receipt: dict[str, Any]) -> None:
    """Both projectors have passed the command: nothing of it is under way any more."""
    deadline = time.monotonic() + QUIET_SECONDS
    while not all(client.get(receipt["status_url"]).json().get("projected", {"none": False}).values()):
        assert time.monotonic() < deadline, client.get(receipt["status_url"]).text
        time.sleep(0.05)


def test_a_comment_posted_is_read_back_with_its_token_and_then_from_the_cache(compose: Compose) -> None:
    with httpx.Client(base_url=compose.url(), timeout=30, trust_env=False) as client:
        path, receipt = post(client)
        at_once = read(client, path, receipt)
        until_quiet(client, receipt)
        first, second = read(client, path, receipt), read(client, path, receipt)
    assert at_once.status_code == 200, at_once.text
    assert (at_once.json()["text"], at_once.json()["author"]) == (TEXT, "ada")
    assert first.json() == second.json() == at_once.json()
    assert second.headers["Headrace-Source"] == "cache"


def test_roles_run_as_nobody_in_particular_and_can_change_nothing(compose: Compose) -> None:
    for role in (*ROLES, "provision"):
        found = compose.containers()[role]
        host = found["HostConfig"]
        assert host["ReadonlyRootfs"], role
        assert host["CapDrop"] == ["ALL"], role
        assert host["Memory"] > 0, role
        assert found["Image"] == compose.containers()["provision"]["Image"], role
    for role in ROLES:
        assert compose("exec", "--no-TTY", role, "id", "-u").strip() == "10001", role


def test_only_the_gateway_is_published_and_only_on_loopback(compose: Compose) -> None:
    published = {name: each["NetworkSettings"]["Ports"] for name, each in compose.containers().items()}
    hosts = {name: [at["HostIp"] for binds in ports.values() for at in binds or ()] for name, ports in published.items()}
    assert {name: found for name, found in hosts.items() if found} == {"gateway": ["127.0.0.1"]}


def test_stopped_roles_end_by_themselves_and_know_everything_when_they_come_back(compose: Compose) -> None:
    with httpx.Client(base_url=compose.url(), timeout=30, trust_env=False) as client:
        path, receipt = post(client)

    began = time.monotonic()
    compose("stop", *ROLES)
    assert time.monotonic() - began < GRACE_SECONDS
    assert {role: compose.containers()[role]["State"]["ExitCode"] for role in ROLES} == dict.fromkeys(ROLES, 0)

    compose.up()
    with httpx.Client(base_url=compose.url(), timeout=30, trust_env=False) as client:
        answer = read(client, path, receipt)
    assert (answer.status_code, answer.json()["text"]) == (200, TEXT)
