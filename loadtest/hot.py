"""One hot stream: `python -m loadtest.hot --state DIR` on a live stack.

First 64 callers post 10,000 updates of one comment between them, each awaiting its answer: none may be lost, repeated or, of one
caller, out of order. Then 500 updates a second go to one comment and, in turn, to five hundred, while creations of other comments, in
other partitions, are timed from the moment each was due to its outcome: what the hot stream costs the others is the ratio of the p99s.
"""

import argparse
import asyncio
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import uvloop
from hdrh.histogram import HdrHistogram

from events.dynamo_store import open_store
from events.ids import StreamId, partition_of
from headrace.errors import StackFailed, WrongUse
from headrace.local import state
from headrace.local.environment import merged
from loadtest.histograms import figures, histogram, record
from loadtest.pacing import arrivals
from loadtest.wire import Connections
from runtime.aws import open_aws
from runtime.settings import load
from runtime.stack import load_stack

OTHERS: Final = 500
"""Comments over which the even load is spread."""
TIMED: Final = 100.0
"""Creations a second that are timed."""
SETTLE_SECONDS: Final = 60.0
_TAKEN: Final = 202


class Sizes(NamedTuple):
    """Of the two parts."""

    updates: int
    callers: int
    rate: float
    seconds: float
    rounds: int


class Hot:
    """Both parts, on one gateway."""

    def __init__(self, gateway: str, partitions: int) -> None:
        where = urlsplit(gateway)
        self._host = f"{where.hostname}:{where.port}"
        self._connections = Connections(where.hostname or "", where.port or 80, 2000)
        self._partitions = partitions
        self._run = f"hot{secrets.token_hex(4)}"
        self._posts = 0
        self._under_way = 0
        self._loop = asyncio.get_running_loop()

    async def race(self, comment: str, sizes: Sizes) -> None:
        """The callers, until all of it is applied. Raises StackFailed when an update was not accepted."""
        await self._create(comment)
        left = iter(range(sizes.updates))

        async def caller(who: int) -> None:
            for turn in range(sizes.updates):
                if next(left, None) is None:
                    return
                status, body = await self._ask(_update(comment, f"{who}:{turn}"))
                if status != _TAKEN:
                    raise StackFailed(f"an update was answered {status} {body[:200]!r}")

        async with asyncio.TaskGroup() as callers:
            for who in range(sizes.callers):
                callers.create_task(caller(who))
        status, body = await self._ask(_update(comment, "the end"), wait=True)
        if status >= 300:
            raise StackFailed(f"the last update was answered {status} {body[:200]!r}")

    async def beside(self, comments: Sequence[str], sizes: Sizes, seed: int) -> HdrHistogram:
        """Latencies of the timed creations while these comments are updated."""
        taboo = {self._partition(comments[0])} if len(comments) == 1 else set()
        fresh = (name for name in self._names() if self._partition(name) not in taboo)
        took = histogram()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._paced(sizes.rate, sizes.seconds, seed, lambda _: self._touch(comments)))
            tasks.create_task(self._paced(TIMED, sizes.seconds, seed + 1, lambda due: self._time(next(fresh), due, took)))
        async with asyncio.timeout(SETTLE_SECONDS):
            while self._under_way:  # noqa: ASYNC110 - callbacks count it down
                await asyncio.sleep(0.05)
        return took

    async def create_others(self) -> list[str]:
        """The comments of the even load, applied."""
        names = [f"{self._run}-other-{number}" for number in range(OTHERS)]
        await asyncio.gather(*map(self._create, names))
        return names

    def close(self) -> None:
        """All connections."""
        self._connections.close()

    def name(self, what: str) -> str:
        """A comment's id of this run."""
        return f"{self._run}-{what}"

    def _names(self) -> Iterator[str]:
        while True:
            self._posts += 1
            yield f"{self._run}-timed-{self._posts}"

    def _partition(self, comment: str) -> int:
        return partition_of(StreamId(f"comment-{comment}"), self._partitions)

    async def _paced(self, rate: float, seconds: float, seed: int, post: Any) -> None:
        began = self._loop.time()
        for offset in arrivals(rate, seconds, seed):
            await asyncio.sleep(max(0.0, began + offset - self._loop.time()))
            post(began + offset)

    def _touch(self, comments: Sequence[str]) -> None:
        self._posts += 1
        self._send(_update(comments[self._posts % len(comments)], f"touch {self._posts}"), wait=False)

    def _time(self, comment: str, due: float, took: HdrHistogram) -> None:
        self._send(_creation(comment), wait=True, done=lambda: record(took, self._loop.time() - due))

    def _send(self, request: tuple[str, dict[str, str]], *, wait: bool, done: Any = None) -> None:
        self._under_way += 1

        def answered(status: int, head: bytes, body: bytes) -> None:  # noqa: ARG001 - the connection's shape
            self._under_way -= 1
            if done is not None and 200 <= status < 300:
                done()

        self._connections.send(self._bytes(request, wait=wait), answered)

    async def _create(self, comment: str) -> None:
        status, body = await self._ask(_creation(comment), wait=True)
        if status >= 300:
            raise StackFailed(f"a creation was answered {status} {body[:200]!r}")

    async def _ask(self, request: tuple[str, dict[str, str]], *, wait: bool = False) -> tuple[int, bytes]:
        answer: asyncio.Future[tuple[int, bytes]] = self._loop.create_future()
        self._connections.send(self._bytes(request, wait=wait), lambda status, _, body: answer.set_result((status, body)))
        async with asyncio.timeout(SETTLE_SECONDS):
            return await answer

    def _bytes(self, request: tuple[str, dict[str, str]], *, wait: bool) -> bytes:
        line, data = request
        body = json.dumps(data).encode()
        prefer = "Prefer: wait=30\r\n" if wait else ""
        head = f"{line} HTTP/1.1\r\nHost: {self._host}\r\nHeadrace-Actor: hot\r\n{prefer}Content-Type: application/json\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _creation(comment: str) -> tuple[str, dict[str, str]]:
    return "POST /pictures/hot/comments", {"comment_id": comment, "text": "new"}


def _update(comment: str, text: str) -> tuple[str, dict[str, str]]:
    return f"PATCH /comments/{comment}", {"text": text}


async def measure(folder: Path, sizes: Sizes) -> dict[str, Any]:
    """Both parts; `faults` says what was lost, repeated or out of order. Raises WrongUse, StackFailed."""
    stack = state.live(folder)
    if stack is None:
        raise WrongUse(f"no stack is up in {folder}")
    os.environ.update(merged(os.environ, stack.environment))
    settings = load()
    async with open_aws(settings) as aws:
        facts = await load_stack(await aws.dynamodb(), settings)
        store = await open_store(aws, facts, settings)
        hot = Hot(stack.gateway, facts.partitions)
        try:
            comment = hot.name("raced")
            await hot.race(comment, sizes)
            commits = await store.load(StreamId(f"comment-{comment}"))
            texts = [json.loads(bytes(event.data)).get("text", "") for commit in commits for event in commit.recorded()]
            return {
                "updates": sizes.updates,
                "commits": len(commits),
                "faults": judged(texts[1:-1], sizes),
                **(await _beside(hot, sizes) if sizes.rounds else {}),
            }
        finally:
            hot.close()


def judged(texts: Sequence[str], sizes: Sizes) -> list[str]:
    """What is wrong with these updates, `caller:turn` each, in the order of the stream. Pure."""
    turns: dict[str, list[int]] = {}
    for text in texts:
        who, _, turn = text.partition(":")
        turns.setdefault(who, []).append(int(turn))
    faults = [
        f"caller {who}: {found[:5]}... are not its updates in order" for who, found in turns.items() if found != list(range(len(found)))
    ]
    if len(texts) != sizes.updates:
        faults.append(f"{len(texts)} of {sizes.updates} updates are stored")
    return faults


async def _beside(hot: Hot, sizes: Sizes) -> dict[str, Any]:
    others, one = await hot.create_others(), [hot.name("raced")]
    pairs = []
    for number in range(sizes.rounds):
        even = figures(await hot.beside(others, sizes, 2 * number))["p99"]
        heated = figures(await hot.beside(one, sizes, 2 * number))["p99"]
        pairs.append((even, heated))
    ratios = [heated / even for even, heated in pairs if even and heated]
    return {"others_p99_ms": [{"even": even, "hot": heated} for even, heated in pairs], "ratio": round(median(ratios), 2)}


def main() -> int:
    """Exit 1 when an update was lost, repeated or out of order."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.hot", description=__doc__)
    parser.add_argument("--state", default=".headrace")
    parser.add_argument("--updates", type=int, default=10_000)
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--rate", type=float, default=500.0)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    sizes = Sizes(given.updates, given.callers, given.rate, given.seconds, given.rounds)
    found = uvloop.run(measure(Path(given.state), sizes))
    print(json.dumps(found))
    return 1 if found["faults"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
