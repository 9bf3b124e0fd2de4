"""The way of a command from outside: a caller's promises, on real processes over real sockets."""

import asyncio
import uuid
from typing import Any

import httpx

from headrace.local import state
from headrace.local.environment import merged
from runtime.redis_client import open_redis
from runtime.settings import load
from tests.acceptance.stack import Live, headrace


def fresh(kind: str) -> str:
    return f"{kind}-{uuid.uuid4().hex}"


async def create(client: httpx.AsyncClient, **headers: str) -> tuple[str, dict[str, Any]]:
    """(path of a new comment, its receipt): applied while we waited."""
    answer = await client.post(f"/pictures/{fresh('p')}/comments", json={"text": "שלום 🌊"}, headers={"Prefer": "wait=10", **headers})
    assert answer.status_code == 201, answer.text
    assert answer.headers["Preference-Applied"] == "wait=10"
    return answer.headers["Location"], answer.json()


async def test_a_read_with_the_returned_token_is_never_a_404_and_the_second_comes_from_the_cache(live: Live) -> None:
    async with live.client() as client:
        for _ in range(20):
            path, receipt = await create(client)
            first = await client.get(path, params={"after": receipt["token"], "wait": "10"})
            second = await client.get(path, params={"after": receipt["token"], "wait": "10"})
            assert (first.status_code, first.json()["version"]) == (200, 1), first.text
            assert second.json() == first.json()
            assert second.headers["Headrace-Source"] == "cache"


async def test_a_hundred_posts_under_one_key_are_one_event_and_one_answer(live: Live) -> None:
    key, picture = fresh("key"), fresh("p")
    async with live.client() as client:
        asked = [
            client.post(f"/pictures/{picture}/comments", json={"text": "once"}, headers={"Idempotency-Key": key, "Prefer": "wait=20"})
            for _ in range(100)
        ]
        answers = await asyncio.gather(*asked)
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.text for answer in answers}) == 1
        history = await client.get(f"{answers[0].headers['Location']}/history")
        assert len(history.json()["events"]) == 1
        other = await client.post(f"/pictures/{picture}/comments", json={"text": "twice"}, headers={"Idempotency-Key": key})
        assert (other.status_code, other.json()["code"]) == (409, "command_id_reused")


async def test_updates_and_deletions_are_the_authors_alone_and_time_travel_sees_them_all(live: Live) -> None:
    wait = {"Prefer": "wait=10", "Headrace-Actor": "ada"}
    async with live.client() as client:
        path, _ = await create(client, **{"Headrace-Actor": "ada"})
        stranger = await client.patch(path, json={"text": "mine"}, headers={"Prefer": "wait=10", "Headrace-Actor": "bob"})
        assert (stranger.status_code, stranger.json()["code"]) == (422, "not_the_author")
        edited = await client.patch(path, json={"text": "better"}, headers={**wait, "If-Match": '"1"'})
        assert (edited.status_code, edited.json()["version"]) == (200, 2)
        stale = await client.patch(path, json={"text": "worse"}, headers={**wait, "If-Match": '"1"'})
        assert (stale.status_code, stale.json()["code"]) == (412, "version_conflict")
        gone = await client.delete(path, headers=wait)
        assert gone.json()["version"] == 3
        after = {"after": gone.json()["token"], "wait": "10"}
        assert (await client.get(path, params=after)).status_code == 404
        assert (await client.get(path, params={"version": "1"})).json()["text"] == "שלום 🌊"
        assert (await client.get(path, params={"version": "3"})).status_code == 404
        names = [event["name"] for event in (await client.get(f"{path}/history")).json()["events"]]
        assert names == ["comment.created", "comment.updated", "comment.deleted"]


async def test_whatever_was_read_with_a_token_comes_from_the_cache_the_next_time(live: Live) -> None:
    picture = fresh("p")
    async with live.client() as client:
        made = await client.post(f"/pictures/{picture}/comments", json={"text": "one"}, headers={"Prefer": "wait=10"})
        path = made.headers["Location"]
        gone = await client.delete(path, headers={"Prefer": "wait=10"})
        other, receipt = await create(client)
        seen = await client.get(other, params={"after": receipt["token"], "wait": "10"})
        assert seen.status_code == 200
        after = {"after": gone.json()["token"], "wait": "10"}
        for read in (f"/pictures/{picture}", f"/pictures/{picture}/comments", other):
            async with asyncio.timeout(5):  # the cache is refreshed a moment after PostgreSQL
                while (answer := await client.get(read, params=after)).headers["Headrace-Source"] != "cache":
                    assert answer.status_code == 200
        assert (await client.get(f"/pictures/{picture}", params=after)).json()["comment_count"] == 0


async def test_a_repeat_of_what_left_no_event_is_answered_as_the_first_was(live: Live) -> None:
    """Though the state it was decided on is long gone."""
    wait = {"Prefer": "wait=10", "Headrace-Actor": "ada"}
    async with live.client() as client:
        path, _ = await create(client, **{"Headrace-Actor": "ada"})
        idle, stale, edit = ({**wait, "Idempotency-Key": fresh("key")} for _ in range(3))
        stale["If-Match"] = '"7"'
        same, early, late = {"text": "שלום 🌊"}, {"text": "early"}, {"text": "late"}
        first = [await client.patch(path, json=same, headers=idle), await client.patch(path, json=early, headers=stale)]
        assert [(each.status_code, each.json()["version"]) for each in first] == [(200, 1), (412, 1)]
        assert (await client.patch(path, json=late, headers=edit)).json()["version"] == 2
        again = [await client.patch(path, json=same, headers=idle), await client.patch(path, json=early, headers=stale)]
        assert [each.text for each in again] == [each.text for each in first]
        assert len((await client.get(f"{path}/history")).json()["events"]) == 2


async def test_when_all_is_forgotten_an_id_still_belongs_to_its_command(live: Live) -> None:
    """A wrong payload under it is told so, and takes nothing away from the right one."""
    key, picture = fresh("key"), fresh("p")
    headers = {"Idempotency-Key": key, "Prefer": "wait=10"}
    right, wrong = {"text": "right"}, {"text": "wrong"}
    settings = load(merged({}, state.environment(live.folder)))
    async with live.client() as client, open_redis(settings) as redis:
        first = await client.post(f"/pictures/{picture}/comments", json=right, headers=headers)
        async for name in redis.scan_iter(match=f"{settings.stack}:*{key}"):
            await redis.delete(name)
        second = await client.post(f"/pictures/{picture}/comments", json=wrong, headers=headers)
        assert (second.status_code, second.json()["code"]) == (409, "command_id_reused")
        third = await client.post(f"/pictures/{picture}/comments", json=right, headers=headers)
        assert (third.status_code, third.text) == (201, first.text)
        assert (await client.get(first.json()["status_url"])).json()["status"] == "applied"


async def test_a_token_beyond_the_store_is_refused_at_once(live: Live) -> None:
    async with live.client() as client:
        path, receipt = await create(client)
        answer = await client.get(path, params={"after": f"{receipt['stream']}@7", "wait": "10"})
        assert (answer.status_code, answer.json()["code"]) == (400, "token_beyond_store")
        assert answer.elapsed.total_seconds() < 3


async def test_a_batch_answers_line_by_line_in_order(live: Live) -> None:
    picture = fresh("p")
    lines = [f'{{"name": "comment.create", "data": {{"picture_id": "{picture}", "text": "{n}"}}}}' for n in range(50)]
    lines[7] = "{not json"
    async with live.client() as client:
        answer = await client.post("/commands/batch", content="\n".join(lines), headers={"Content-Type": "application/x-ndjson"})
        receipts = [httpx.Response(200, content=line).json() for line in answer.text.splitlines()]
        assert [receipt["status"] for receipt in receipts].count("pending") == 49
        assert (receipts[7]["status"], receipts[7]["code"], receipts[7]["line"]) == ("refused", "malformed", 8)
        settled = [await client.get(each["status_url"] + "&wait=10") for each in receipts if each["status"] == "pending"]
        assert {answer.json()["status"] for answer in settled} == {"applied"}


async def test_a_users_own_domain_is_posted_to_by_name(live: Live) -> None:
    async with live.client() as client:
        body = {"name": "account.open", "data": {"account_id": fresh("a"), "currency": "CHF"}}
        answer = await client.post("/commands", json=body, headers={"Prefer": "wait=10"})
        assert (answer.status_code, answer.json()["status"]) == (201, "applied"), answer.text
        assert answer.json()["stream"].startswith("account-")


async def test_the_audit_of_all_that_is_clean(live: Live) -> None:
    code, out, err = await headrace("audit", "--state", str(live.folder))
    assert code == 0, out + err


async def test_a_commands_status_tells_how_far_each_projector_is(live: Live) -> None:
    wait = {"Prefer": "wait=10", "Headrace-Actor": "ada"}

    async def projected(receipt: dict[str, Any]) -> dict[str, Any]:
        """The status, once it says that both have passed the command."""
        async with asyncio.timeout(10):
            while True:
                status = await client.get(receipt["status_url"])
                if status.json().get("projected") == {"rds": True, "cache": True}:
                    told: dict[str, Any] = status.json()
                    return told
                assert set(status.json()["projected"]) == {"rds", "cache"}
                await asyncio.sleep(0.02)

    async with live.client() as client:
        path, receipt = await create(client, **{"Headrace-Actor": "ada"})
        assert (await projected(receipt))["version"] == 1
        # What has passed both is shown without a token, from whatever tier.
        assert (await client.get(path)).json()["version"] == 1
        for text in ("better", "best"):
            edited = await client.patch(path, json={"text": text}, headers=wait)
            await projected(edited.json())
            assert (await client.get(path)).json()["text"] == text
        # A command without effect has the stream's version, which was passed already.
        same = await client.patch(path, json={"text": "best"}, headers=wait)
        assert ((await projected(same.json()))["version"], same.json()["version"]) == (3, 3)
        # A rejected one changed nothing, so there is nothing to be projected.
        refused = await client.patch(path, json={"text": "mine"}, headers={**wait, "Headrace-Actor": "bob"})
        status = await client.get(refused.json()["status_url"])
        assert (status.json()["status"], "projected" in status.json()) == ("rejected", False)
