"""A stack with RabbitMQ beside it: what is posted over HTTP comes out there, commands go in there, and `headrace` knows of both."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from headrace.local import state
from tests.acceptance.stack import Live, headrace, stack_up
from tests.support.amqp_receiver import receiving

COMMENTS = 20


@pytest.fixture(scope="module")
async def publishing(tmp_path_factory: pytest.TempPathFactory, amqp_url: str) -> AsyncIterator[Live]:
    async with stack_up(tmp_path_factory.mktemp("amqp-out"), {"HEADRACE_AMQP_URL": amqp_url}) as found:
        yield found


async def shown(live: Live) -> dict[str, Any]:
    code, out, err = await headrace("status", "--json", "--state", str(live.folder))
    assert code == 0, out + err
    found: dict[str, Any] = json.loads(out)
    return found


async def test_everything_posted_comes_out_of_rabbitmq_and_the_audit_holds_it_to_that(publishing: Live, amqp_url: str) -> None:
    async with receiving(amqp_url) as receiver, publishing.client() as client:
        for n in range(COMMENTS):
            made = await client.post(f"/pictures/p{n % 3}/comments", json={"text": f"{n} 🌊"}, headers={"Prefer": "wait=10"})
            assert made.status_code == 201, made.text
            edited = await client.patch(made.headers["Location"], json={"text": "better"}, headers={"Prefer": "wait=10"})
            assert edited.json()["status"] == "applied", edited.text
        await receiver.until(2 * COMMENTS)
        told = (await client.get(f"{made.headers['Location']}/history")).json()["events"]
        stream = made.json()["stream"]
        assert [body for body in receiver.bodies if body["stream"] == stream] == [{**event, "stream": stream} for event in told]
        assert {each.routing_key for each in receiver.got} == {"comment.created", "comment.updated"}
        assert len(set(receiver.ids)) == 2 * COMMENTS
    status = await shown(publishing)
    parts = {part["role"]: part for part in status["parts"]}
    assert parts["projector-amqp"]["ready"]
    assert parts["rabbitmq"]["ready"]
    assert parts["rabbitmq"]["pid"] is None
    assert "guest:guest" not in json.dumps(status)
    assert (status["queues"]["amqp"], status["queues"]["amqp-dead"], status["lag_seconds"]["amqp"]) == (0, 0, 0.0)
    await _audit(publishing, stream)


async def _audit(live: Live, stream: str) -> None:
    """Clean; and not, when a position is taken back."""
    words = ("audit", "--json", "--settle", "0", "--state", str(live.folder))
    code, out, err = await headrace(*words)
    assert (code, json.loads(out)["streams"]) == (0, COMMENTS), out + err
    database = await asyncpg.connect(state.environment(live.folder)["HEADRACE_DATABASE_URL"])
    try:
        sent = await database.fetchrow("DELETE FROM headrace.published WHERE stream = $1 RETURNING *", stream)
        code, out, err = await headrace(*words)
        differs = [(each["invariant"], each["stream"]) for each in json.loads(out)["differences"]]
        assert (code, differs) == (1, [("I4", stream)]), out + err
        await database.execute("INSERT INTO headrace.published VALUES ($1, $2, $3, $4)", *sent)
        await database.execute("UPDATE headrace.published SET version = 1 WHERE stream = $1", stream)
        code, out, err = await headrace(*words)
        assert "amqp is at version 1 of commit" in out, out + err
        await database.execute("UPDATE headrace.published SET version = 7 WHERE stream = $1", stream)
        code, out, err = await headrace(*words)
        assert "amqp is at version 7" in out, out + err
    finally:
        await database.execute("UPDATE headrace.published SET version = 2 WHERE stream = $1", stream)
        await database.close()


def test_without_a_url_nothing_is_seen_of_it(live: Live) -> None:
    assert "rabbitmq" not in {part.role for part in _parts(live.folder)}
    assert "projector-amqp" not in {part.role for part in _parts(live.folder)}


def _parts(folder: Path) -> tuple[state.Part, ...]:
    stack = state.live(folder)
    assert stack is not None
    return stack.parts


async def test_commands_go_in_by_the_second_door_and_every_promise_is_kept(publishing: Live) -> None:
    words = ("load", "--via", "amqp", "--rate", "100", "--duration", "3", "--settle", "5", "--json", "-", "--state", str(publishing.folder))
    code, out, err = await headrace(*words)
    assert code == 0, err
    report = json.loads(out)
    assert report["posted"] == report["accepted"] == report["applied"] == report["projected"] > 200
    assert report["latency_ms"]["visible"]["p50"] > 0  # receipts came back by reply_to, and were read back by their tokens
