"""What became of a command, asked for later."""

import asyncio
from typing import Any

import httpx
import pytest

from events.deciding import confirm, decide
from events.history import History
from events.ids import StreamId, Version
from events.outcome import Kept, Outcome, Status
from tests.unit.gateway.fakes import REGISTRY, World, until

STREAM = StreamId("comment-c")
REFUSED = Kept(Status.REJECTED, Version(4), "not_the_author", "only the author updates or deletes a comment")


async def status(gateway: World, command_id: str = "k", **more: Any) -> httpx.Response:
    return await gateway.client.get(f"/commands/{command_id}", params={"stream": STREAM} | more)


async def stored(gateway: World) -> None:
    """Everything in the queue is decided and appended, as a worker would."""
    history = History(STREAM, REGISTRY.domains[0].decider).absorb(await gateway.store.load(STREAM), REGISTRY)
    draft = decide(history, gateway.queue.taken, REGISTRY)
    await gateway.store.append([draft.commit()])
    confirm(history, draft)


async def create(gateway: World, **headers: str) -> None:
    body = {"text": "x", "comment_id": "c"}
    answer = await gateway.post("/pictures/p/comments", body, {"idempotency-key": "k", **headers})
    assert answer.status_code == 202


async def test_a_command_nobody_sent(gateway: World) -> None:
    answer = await status(gateway)
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_command_id")


async def test_accepted_and_not_decided_is_pending(gateway: World) -> None:
    await create(gateway)
    assert (await status(gateway)).json() == {"command_id": "k", "stream": STREAM, "status": "pending"}


async def test_applied_is_found_in_the_stream(gateway: World) -> None:
    await create(gateway)
    await stored(gateway)
    gateway.memory.entries.clear()
    assert (await status(gateway)).json() == {
        "command_id": "k",
        "stream": STREAM,
        "status": "applied",
        "version": 1,
        "token": "comment-c@1",
        "projected": {"rds": True, "cache": False},
    }


async def test_a_young_mark_of_an_id_of_ours_is_believed_without_reading_the_stream(gateway: World) -> None:
    made = (await gateway.post("/pictures/p/comments", {"text": "x", "comment_id": "c"})).json()["command_id"]
    gateway.memory.age, gateway.store.away = 0.5, True
    assert (await status(gateway, made)).json()["status"] == "pending"


async def test_a_young_mark_of_a_callers_id_does_not_hide_what_the_stream_knows(gateway: World) -> None:
    """A repeat after everything in Redis was gone."""
    await create(gateway)
    await stored(gateway)
    gateway.memory.age = 0.5
    assert (await status(gateway)).json()["status"] == "applied"


async def test_refused_is_told_with_its_reason(gateway: World) -> None:
    gateway.memory.entries[STREAM, "k"] = {"anonymous": REFUSED}
    assert (await status(gateway)).json() == {
        "command_id": "k",
        "stream": STREAM,
        "status": "rejected",
        "version": 4,
        "reason": REFUSED.reason,
        "detail": REFUSED.detail,
    }


async def test_the_actor_is_told_by_parameter_or_header_or_by_being_the_only_one(gateway: World) -> None:
    applied = Kept(Status.APPLIED, Version(1))
    gateway.memory.entries[STREAM, "k"] = {"ann": REFUSED}
    assert (await status(gateway)).json()["status"] == "rejected"
    gateway.memory.entries[STREAM, "k"]["bob"] = applied
    assert (await status(gateway)).status_code == 404
    assert (await status(gateway, actor="bob")).json()["status"] == "applied"
    answer = await gateway.client.get("/commands/k", params={"stream": STREAM}, headers={"headrace-actor": "ann"})
    assert answer.json()["status"] == "rejected"


async def test_the_only_actor_is_found_in_the_stream_too(gateway: World) -> None:
    await create(gateway, **{"headrace-actor": "ann"})
    await stored(gateway)
    gateway.memory.entries.clear()
    assert (await status(gateway)).json()["status"] == "applied"
    assert (await status(gateway, command_id="other")).status_code == 404


async def test_without_redis_the_stream_answers_what_it_can(gateway: World) -> None:
    await create(gateway)
    gateway.memory.away = True
    assert (await status(gateway)).status_code == 503
    await stored(gateway)
    assert (await status(gateway)).json()["status"] == "applied"


async def test_a_wait_ends_with_the_notice(gateway: World) -> None:
    await create(gateway)
    asking = asyncio.create_task(status(gateway, wait="1e9"))
    await until(lambda: gateway.gateway.outcomes.waiting)
    gateway.notices.tell(gateway.queue.taken[0], Outcome(Status.APPLIED, Version(1)))
    assert (await asking).json()["version"] == 1


async def test_a_wait_ends_in_time(gateway: World) -> None:
    await create(gateway)
    assert (await status(gateway, wait="0.05")).json()["status"] == "pending"


async def test_a_wait_ends_soon_when_the_process_stops(gateway: World) -> None:
    await create(gateway)
    asking = asyncio.create_task(status(gateway, wait="30"))
    await until(lambda: gateway.gateway.outcomes.waiting)
    gateway.gateway.outcomes.stop(grace=0.01)
    assert (await asking).json()["status"] == "pending"


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"stream": "c"},
        {"stream": "Comment-c"},
        {"stream": "comment-c", "wait": "nan"},
        {"stream": "comment-c", "wait": "-1"},
        {"stream": "comment-c", "actor": "a/b"},
        {"stream": ["comment-c", "comment-d"]},
        {"stream": "comment-c", "more": "1"},
    ],
)
async def test_what_is_wrong_with_the_question(gateway: World, given: dict[str, Any]) -> None:
    answer = await gateway.client.get("/commands/k", params=given)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


async def test_a_command_id_may_be_any_word(gateway: World) -> None:
    answer = await gateway.client.get("/commands/batch", params={"stream": STREAM})
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_command_id")


async def test_a_stream_of_no_domain_has_no_commands(gateway: World) -> None:
    assert (await gateway.client.get("/commands/k", params={"stream": "invoice-1"})).status_code == 404
