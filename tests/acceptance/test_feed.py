"""The live feed from outside: what was posted comes in order, and a caller who is cut off again and again has all of it once."""

import asyncio
import random
import uuid

import httpx

from tests.acceptance.stack import Live
from tests.support.sse import Event, following

COMMENTS = 40


async def _live_of(client: httpx.AsyncClient, picture: str, number: int) -> str:
    """Created, changed and, every other one, deleted; its id."""
    ident = f"{picture}-{number}"
    wait = {"Prefer": "wait=20"}
    made = await client.post(f"/pictures/{picture}/comments", json={"text": "one", "comment_id": ident}, headers=wait)
    assert made.status_code == 201, made.text
    await client.patch(f"/comments/{ident}", json={"text": "two"}, headers=wait)
    if number % 2:
        await client.delete(f"/comments/{ident}", headers=wait)
    return ident


async def test_every_change_once_and_in_order_however_often_it_is_cut_off(live: Live) -> None:
    picture, chance = f"p-{uuid.uuid4().hex}", random.Random(11)
    wanted = COMMENTS * 2 + COMMENTS // 2
    seen: list[Event] = []
    async with live.client() as client:
        async with following(live.gateway, f"/events?picture_id={picture}") as feed:
            assert feed.status == 200
            async with asyncio.TaskGroup() as tasks:
                for number in range(COMMENTS):
                    tasks.create_task(_live_of(client, picture, number))
                seen += await feed.take(3, seconds=30)
                last = seen[-1].id
                while len(seen) < wanted:
                    feed.cut()
                    async with following(live.gateway, f"/events?picture_id={picture}", last_id=last) as again:
                        seen += await again.take(min(chance.randint(1, 20), wanted - len(seen)), seconds=30)
                        last = seen[-1].id
        assert len({each.id for each in seen}) == wanted
        for number in range(COMMENTS):
            ident = f"{picture}-{number}"
            history = (await client.get(f"/comments/{ident}/history")).json()["events"]
            told = [each.data for each in seen if each.data["stream"] == f"comment-{ident}"]
            assert told == [{"stream": f"comment-{ident}", **event, "picture_id": picture} for event in history]
            assert [each.name for each in seen if each.data["stream"] == f"comment-{ident}"] == [event["name"] for event in history]
