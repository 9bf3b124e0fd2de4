"""The cost meter against what is seen on the wire: a proxy between the stack and its backend counts every request."""

import asyncio
import json
import secrets
import signal
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple

import aiohttp
import httpx
import pytest

from headrace.local import state
from headrace.metering import Reading, read_meters, spent
from tests.acceptance.stack import Live, headrace, stack_up
from tests.support.counting_proxy import CountingProxy, counting_proxy

POSTS = 300
ROLES = {"gateway", "commands", "relay", "projector-rds", "projector-cache"}
NOTHING = Reading(())


class Metered(NamedTuple):
    """A stack whose every AWS request passes the proxy."""

    live: Live
    proxy: CountingProxy
    http: aiohttp.ClientSession

    async def read(self) -> Reading:
        """Of all roles, none silent."""
        stack = state.live(self.live.folder)
        assert stack is not None
        found = await read_meters(self.http, stack.parts)
        assert (set(found.pids), found.silent) == (ROLES, ())
        return found

    async def beyond(self) -> Counter[str]:
        """What the proxy saw beyond what the roles' meters say, at a moment at which no role was sending: provisioning, and faults."""
        while True:
            before = spent(NOTHING, await self.read()).requests
            seen = Counter(self.proxy.seen)
            if spent(NOTHING, await self.read()).requests == before:
                seen.subtract(before)
                return Counter({call: count for call, count in seen.items() if count})

    async def until_beyond(self, wanted: Counter[str]) -> Counter[str]:
        """A meter counts a request just before it is sent: the proxy may lack one for a moment. One that is wrong stays wrong."""
        found = await self.beyond()
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                while found != wanted:
                    found = await self.beyond()
        return found

    async def at_rest(self) -> Counter[str]:
        """`beyond`, the same twice."""
        found = await self.beyond()
        while (again := await self.beyond()) != found:
            found = again
        return found


@pytest.fixture(scope="module")
async def metered(aws_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Metered]:
    more = {"HEADRACE_STACK": f"metered{secrets.token_hex(3)}"}
    folder = tmp_path_factory.mktemp("metered")
    async with (
        counting_proxy(aws_url) as proxy,
        aiohttp.ClientSession() as http,
        stack_up(folder, more, aws=proxy.url) as live,
    ):
        yield Metered(live, proxy, http)


async def until_there(send: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    """The answer; a 503 is asked again, as callers do."""
    async with asyncio.timeout(60):
        while True:
            with suppress(httpx.TransportError):  # a connection that ended idle: asked again under the same key
                if (answer := await send()).status_code != 503:
                    return answer
                await asyncio.sleep(float(answer.headers.get("Retry-After", "0")))


async def post(client: httpx.AsyncClient, number: int) -> None:
    """A creation, waited for, and read back from the read model."""
    headers = {"Prefer": "wait=30", "Idempotency-Key": secrets.token_hex(8)}
    body = {"text": "так 🌊 " * (1 + number % 60)}
    answer = await until_there(lambda: client.post(f"/pictures/p-{number % 7}/comments", json=body, headers=headers))
    told = answer.json()
    path, status_url = f"/comments/{told['stream'].removeprefix('comment-')}", told["status_url"]
    async with asyncio.timeout(90):
        while told["status"] == "pending":  # refused attempts may cost a message a whole visibility
            told = (await until_there(lambda: client.get(f"{status_url}&wait=30"))).json()
    assert told["status"] == "applied", told
    held = {"after": told["token"], "wait": "30"}
    seen = await until_there(lambda: client.get(path, params=held))
    assert seen.status_code == 200, seen.text


async def post_all(metered: Metered) -> None:
    async with metered.live.client() as client:
        await asyncio.gather(*(post(client, number) for number in range(POSTS)))


async def test_over_a_run_the_meters_count_what_the_wire_saw_to_the_request(metered: Metered) -> None:
    provisioning = await metered.at_rest()
    assert provisioning["cloudformation.CreateStack"] == 1
    assert min(provisioning.values()) > 0
    before, seen = await metered.read(), metered.proxy.seen.total()
    await post_all(metered)
    assert await metered.until_beyond(provisioning) == provisioning
    found = spent(before, await metered.read())
    assert metered.proxy.seen.total() - seen > 20
    assert (found.usage.commands, found.usage.commit_units >= POSTS) == (POSTS, True)
    assert {call.partition(".")[0] for call in found.requests} == {"sqs", "sns", "dynamodb", "dynamodbstreams"}
    assert all(found.requests_by_role[role] for role in ROLES)


async def test_attempts_that_the_backend_refused_are_counted_too(metered: Metered) -> None:
    provisioning = await metered.at_rest()
    metered.proxy.refuse(every=5)
    await post_all(metered)
    metered.proxy.refuse(every=0)
    assert await metered.until_beyond(provisioning) == provisioning
    refused = {call.partition(".")[0] for call in metered.proxy.refused}
    assert {"sqs", "sns", "dynamodb", "dynamodbstreams"} <= refused


async def test_costs_are_shown_by_service_and_role_with_the_floor(metered: Metered) -> None:
    where = ("--state", str(metered.live.folder))
    code, out, err = await headrace("costs", "--json", *where)
    assert (code, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    bill = found["bill"]
    assert found["commands"] >= POSTS
    assert set(found["by_role"]) == ROLES
    assert bill["total"] == pytest.approx(sum(each["total"] for each in found["by_role"].values()))
    assert 0 < bill["per_million"]["floor"] < bill["per_million"]["total"] <= bill["per_million"]["as_run"]
    assert min(found["peak_rss_mb"].values()) > 10
    code, out, err = await headrace("costs", *where)
    assert (code, err) == (0, "")
    for word in ("dollars per million commands", "floor", "projector-rds", "2026-", "us-east-1"):
        assert word in out


async def test_watching_shows_it_again_until_it_is_told_to_stop(metered: Metered) -> None:
    words = ("costs", "--watch", "--json", "--state", str(metered.live.folder))
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "headrace", *words, stdout=PIPE)
    assert process.stdout is not None
    async with asyncio.timeout(60):
        first, second = [json.loads(await process.stdout.readline()) for _ in range(2)]
        process.terminate()  # an interrupt is ignored where the tests run in the background
        await process.stdout.read()
        assert await process.wait() == -signal.SIGTERM
    # In two seconds a stack at rest has looked at its stream at least once.
    assert second["usage"]["stream_reads"] > first["usage"]["stream_reads"]
