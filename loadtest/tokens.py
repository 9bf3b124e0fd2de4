"""Reads held to tokens while the read side is pulled about: `python -m loadtest.tokens --reads 100000 --state DIR` on a live stack.

Writers create, update and delete comments with `Prefer: wait`, each awaiting its answer; readers ask for comments, pictures and
lists with `after` the tokens that receipts gave so far. Meanwhile Redis is flushed every second and one projector after the other
ended, SIGTERM and SIGKILL in turn (the supervisor brings it back). An answer that shows less than its tokens is a violation. 503
`not_yet` and `unavailable` are honest and only counted. Some reads hold no token: these must never fail. Exit 1 for a violation, or a
read without a token that failed.

Start the stack with a short visibility (HEADRACE_VISIBILITY_SECONDS=5): what a killed projector had in hand comes back only then.
"""

import argparse
import asyncio
import json
import os
import random
import secrets
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import redis.exceptions

from headrace.errors import StackFailed, WrongUse
from headrace.local.probes import answers
from loadtest.ground import Found, Ground, carried_out, ground, say
from loadtest.histograms import figures, histogram, record
from loadtest.promises import Album, AlbumPromise, CommentPromise, Life
from loadtest.wire import Connections
from runtime.redis_client import open_redis

WRITERS: Final = 4
READERS: Final = 48
ALBUMS: Final = 8
WAIT: Final = 1
"""Seconds that a read held to tokens may wait: the default."""
BARE: Final = 0.2
"""Reads without a token."""
ANSWER_SECONDS: Final = 45.0
WRITE_PAUSE: Final = 0.05
FEW: Final = 3
EXAMPLES: Final = 20
PROJECTORS: Final = ("projector-rds", "projector-cache")


class Sizes(NamedTuple):
    """`flush` and `restart`: seconds between two flushes, and between two ends of a projector; 0: none."""

    reads: int
    seed: int
    flush: float
    restart: float


class Http:
    """Requests on raw connections."""

    def __init__(self, gateway: str) -> None:
        where = urlsplit(gateway)
        self._host = f"{where.hostname}:{where.port}"
        self._connections = Connections(where.hostname or "", where.port or 80, WRITERS + READERS)

    async def ask(self, line: str, data: dict[str, str] | None = None, **headers: str) -> tuple[int, Any]:
        """(status, body read as JSON); status 0: no answer."""
        body = b"" if data is None else json.dumps(data).encode()
        more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        head = f"{line} HTTP/1.1\r\nHost: {self._host}\r\nHeadrace-Actor: tokens\r\n{more}"
        kind = "" if data is None else f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        answer: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        self._connections.send(f"{head}{kind}\r\n".encode() + body, lambda status, _, found: answer.set_result((status, found)))
        async with asyncio.timeout(ANSWER_SECONDS):
            status, found = await answer
        return status, json.loads(found) if found else None

    def close(self) -> None:
        """All connections."""
        self._connections.close()


class Tokens:
    """One run."""

    def __init__(self, on: Ground, http: Http, sizes: Sizes) -> None:
        self._on, self._http, self._sizes = on, http, sizes
        self._dice = random.Random(sizes.seed)  # noqa: S311 - the same choices again
        self.run = f"tokens{secrets.token_hex(4)}"
        self._albums = [self._album(number) for number in range(ALBUMS)]
        self._made = ALBUMS
        self._left = sizes.reads
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self.took = {"held": histogram(), "bare": histogram()}

    def _album(self, number: int) -> Album:
        return Album(f"{self.run}-{number}")

    async def go(self) -> None:
        """Until all reads are done."""
        for place in range(ALBUMS):
            await self._create(place)
        over = asyncio.Event()
        async with asyncio.TaskGroup() as beside:
            for number in range(WRITERS):
                beside.create_task(self._write(number, over))
            beside.create_task(self._flush(over))
            beside.create_task(self._restart(over))
            try:
                async with asyncio.TaskGroup() as readers:
                    for _ in range(READERS):
                        readers.create_task(self._read())
            finally:
                over.set()

    async def _write(self, number: int, over: asyncio.Event) -> None:
        mine = range(number, ALBUMS, WRITERS)
        while not await _set_within(over, self._dice.random() * WRITE_PAUSE):
            place = self._dice.choice(mine)
            alive = [life for life in self._albums[place].lives if not life.deleting]
            way = self._dice.random()
            if not alive or way < 0.2:
                await self._create(place)
            elif way < 0.3:
                await self._delete(self._dice.choice(alive))
            else:
                life = self._dice.choice(alive)
                await self._command(f"PATCH /comments/{life.comment_id}", life, {"text": f"text {self.counts['commands']}"})

    async def _create(self, place: int) -> None:
        if self._albums[place].full:
            self._albums[place], self._made = self._album(self._made), self._made + 1
        album = self._albums[place]
        life = Life(f"{album.picture_id}-{len(album.lives)}")
        album.lives.append(life)
        await self._command(f"POST /pictures/{album.picture_id}/comments", life, {"comment_id": life.comment_id, "text": "first"})

    async def _delete(self, life: Life) -> None:
        life.deleting = True
        await self._command(f"DELETE /comments/{life.comment_id}", life, None)
        life.deleted = True

    async def _command(self, line: str, life: Life, data: dict[str, str] | None) -> None:
        """Until it is applied, repeated under its id. Raises StackFailed when it is refused."""
        key, until = secrets.token_hex(16), monotonic() + ANSWER_SECONDS
        while monotonic() < until:
            status, body = await self._http.ask(line, data, Prefer="wait=10", Idempotency_Key=key)
            if status in {200, 201}:
                life.version = max(life.version, body["version"])
                self.counts["commands"] += 1
                return
            if status not in {0, 202, 503}:
                raise StackFailed(f"{line} was answered {status} {body}")
            await asyncio.sleep(0.1)
        raise StackFailed(f"{line} was not applied in {ANSWER_SECONDS:g} s")

    async def _read(self) -> None:
        while self._left > 0 and len(self.faults) < EXAMPLES:
            self._left -= 1
            album, bare, way = self._dice.choice(self._albums), self._dice.random() < BARE, self._dice.random()
            began = monotonic()
            if way < 0.5:
                await self._read_comment(self._dice.choice(album.lives), bare)
            else:
                await self._read_album(album, bare, listed=way > 0.75)
            record(self.took["bare" if bare else "held"], monotonic() - began)

    async def _read_comment(self, life: Life, bare: bool) -> None:
        promise = CommentPromise(life)
        path = f"/comments/{life.comment_id}"
        status, body = await self._get(path, [] if bare or not life.version else promise.tokens)
        if not bare and promise.tokens[0].endswith("@0"):
            return
        if status in {200, 404}:
            self._judged("comment", bare, promise.broken(body["version"] if status == 200 else None))

    async def _read_album(self, album: Album, bare: bool, *, listed: bool) -> None:
        chosen = album.lives if self._dice.random() < 0.5 else self._dice.sample(album.lives, min(FEW, len(album.lives)))
        promise = AlbumPromise(album, chosen)
        path = f"/pictures/{album.picture_id}" + ("/comments?limit=100" if listed else "")
        status, body = await self._get(path, [] if bare else promise.tokens)
        bare = bare or not promise.tokens
        if status == 200 and listed:
            self._judged("list", bare, promise.mislisted({each["comment_id"]: each["version"] for each in body["comments"]}))
        elif status == 200:
            self._judged("picture", bare, promise.miscounted(body["comment_count"]))

    async def _get(self, path: str, tokens: list[str]) -> tuple[int, Any]:
        held = "&".join([*(f"after={token}" for token in tokens), f"wait={WAIT}"]) if tokens else ""
        status, body = await self._http.ask(f"GET {path}{'?' if '?' not in path else '&'}{held}".rstrip("?&"))
        code = body.get("code", "") if isinstance(body, dict) and status >= 400 else ""
        self.counts[f"{'held' if tokens else 'bare'} {status}{' ' + code if code else ''}"] += 1
        honest = {200, 404} if not tokens else {200, 404, 503}
        if status not in honest:
            self.faults.append(f"GET {path} {'after ' + tokens[-1] if tokens else 'without a token'} was answered {status} {code}")
        return status, body

    def _judged(self, what: str, bare: bool, fault: str) -> None:
        if bare:
            self.counts[f"{what} behind, no token"] += bool(fault)
            return
        self.counts[f"{what} judged"] += 1
        if fault:
            self.faults.append(f"I8 {fault}")

    async def _flush(self, over: asyncio.Event) -> None:
        if not self._sizes.flush:
            return
        async with open_redis(self._on.settings) as client:
            while not await _set_within(over, self._sizes.flush):
                with suppress(redis.exceptions.RedisError, OSError):
                    await client.flushall()
                    self.counts["flushes"] += 1

    async def _restart(self, over: asyncio.Event) -> None:
        """One projector after the other, each once it is ready again: one that dies before it was ready too often ends the stack."""
        turn = 0
        while self._sizes.restart and not await _set_within(over, self._sizes.restart):
            part = self._on.part(PROJECTORS[turn % 2])
            if part.pid is None or not await answers(part.probe):
                continue
            what = (signal.SIGKILL, signal.SIGTERM)[turn // 2 % 2]
            with suppress(ProcessLookupError):
                os.kill(part.pid, what)
                self.counts[f"{what.name} {part.role}"] += 1
            turn += 1


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


async def measure(folder: Path, sizes: Sizes) -> Found:
    """Everything. Raises WrongUse, StackFailed."""
    if sizes.reads < 1 or sizes.flush < 0 or sizes.restart < 0:
        raise WrongUse("--reads at least 1, --flush and --restart at least 0")
    on = ground(folder)
    http = Http(on.stack.gateway)
    tokens = Tokens(on, http, sizes)
    say(f"seed {sizes.seed}: {sizes.reads:,} reads")
    began = monotonic()
    try:
        await tokens.go()
    finally:
        http.close()
    seconds = monotonic() - began
    held = {name: count for name, count in tokens.counts.items() if name.startswith("held ")}
    return {
        **sizes._asdict(),
        "seconds": round(seconds, 1),
        "violations": sum(fault.startswith("I8") for fault in tokens.faults),
        "not_answered_share": round(sum(n for name, n in held.items() if " 503" in name) / max(1, sum(held.values())), 4),
        "counts": dict(sorted(tokens.counts.items())),
        "latency_ms": {name: figures(took) for name, took in tokens.took.items()},
        "faults": tokens.faults,
    }


def told(found: Found) -> str:
    """For people."""
    return (
        f"{found['reads']:,} reads in {found['seconds']:g} s: {found['violations']} violations;"
        f" {found['not_answered_share']:.2%} of those with tokens were told to come again"
    )


def main() -> int:
    """Exit 1 for a violation, or a read without a token that failed."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.tokens", description=__doc__)
    parser.add_argument("--state", default=".headrace")
    parser.add_argument("--reads", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--flush", type=float, default=1.0, help="seconds between flushes of Redis (1); 0: none")
    parser.add_argument("--restart", type=float, default=5.0, help="seconds between ends of a projector, once it is ready (5); 0: none")
    given = parser.parse_args()
    sizes = Sizes(given.reads, given.seed, given.flush, given.restart)
    return carried_out("loadtest.tokens", measure(Path(given.state), sizes), told)


if __name__ == "__main__":
    raise SystemExit(main())
