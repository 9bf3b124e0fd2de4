"""Requests as such: kinds and sizes of bodies, paths and methods."""

import pytest

from tests.unit.gateway.fakes import World


async def test_the_largest_text_is_taken(gateway: World) -> None:
    assert (await gateway.post("/pictures/p/comments", {"text": "\U0001f600" * 10_000})).status_code == 202
    assert bytes(gateway.queue.taken[0].data).count(b"\xf0") == 10_000


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"content-type": ""}, 415),
        ({"content-type": "application/json; charset=utf-16"}, 415),
        ({"content-type": "application/json", "content-encoding": "gzip"}, 415),
        ({"content-type": "application/json; charset=UTF-8"}, 202),
        ({"content-type": "Application/JSON"}, 202),
        ({"content-type": "application/json", "content-encoding": "identity"}, 202),
        ({"content-type": "application/json", "content-length": "262145"}, 413),
    ],
)
async def test_kinds_of_bodies(gateway: World, headers: dict[str, str], status: int) -> None:
    answer = await gateway.client.post("/pictures/p/comments", content=b'{"text":"x"}', headers=headers)
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/nothing", 404, None),
        ("GET", "/", 404, None),
        ("GET", "/commands/", 400, None),
        ("TRACE", "/commands", 405, "POST"),
        ("PUT", "/comments/c", 405, "DELETE, GET, HEAD, PATCH"),
        ("GET", "/commands", 405, "POST"),
        ("POST", "/healthz", 405, "GET, HEAD"),
        ("GET", "/comments/c/nothing", 404, None),
        ("HEAD", "/healthz", 200, None),
    ],
)
async def test_paths_and_methods(gateway: World, method: str, path: str, status: int, allow: str | None) -> None:
    answer = await gateway.client.request(method, path)
    assert answer.status_code == status
    assert answer.headers.get("allow") == allow
