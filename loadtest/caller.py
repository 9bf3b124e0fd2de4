"""A generator's requests under way: sent, answered, sent again when unanswered, and the sampled ones read back with their tokens."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec
from hdrh.histogram import HdrHistogram

from loadtest.amqp import AmqpPosts
from loadtest.histograms import histogram, record
from loadtest.phases import Done, Plan
from loadtest.requests import Requests
from loadtest.script import Ask, Kind, Script
from loadtest.wire import Answered, Connections

AGAIN_SECONDS: Final = 0.2
FAULTS: Final = 20
"""Told in words; the rest only counted."""
_VERSION: Final = re.compile(rb'\r\netag: *"(\d+)"', re.IGNORECASE)


class Receipt(msgspec.Struct):
    """As much of an answer to a command as we look at."""

    status: str = ""
    token: str = ""
    code: str = ""


_RECEIPT: Final = msgspec.json.Decoder(Receipt)


class Caller:
    """`begin` a phase, `post` at will, `settle` at its end."""

    def __init__(self, plan: Plan, connections: Connections, broker: AmqpPosts | None = None) -> None:
        """With `broker`, commands go through it; reads always by HTTP."""
        self._plan, self._connections, self._broker = plan, connections, broker
        self.script = Script(plan.shape, plan.seed)
        self._requests = Requests(f"{plan.host}:{plan.port}", f"{plan.run}-{plan.worker}")
        self._loop = asyncio.get_running_loop()
        self._posts = 0
        self.in_flight = 0
        self._commands = 0
        """Commands without an answer."""
        self._answered = asyncio.Event()
        self._done = Done(0, 0, 0.0, 0.0)
        self.latencies: dict[str, HdrHistogram] = {}
        self._ticked: Counter[str] = Counter()
        self._recent = histogram()

    def begin(self, done: Done) -> None:
        """A phase: whatever happens is written down in `done`."""
        self._done = done
        self.latencies = {name: histogram() for name in ("accepted", "applied", "visible", "read")}

    def post(self, due: float) -> None:
        """The script's next request, due at the loop's time `due`."""
        ask = self.script.next()
        self.in_flight += 1
        if ask.kind is Kind.READ:
            self._read(ask, due)
            return
        self._posts += 1
        self._commands += 1
        self._ticked["posted"] += 1
        self._send(ask, due, wait=self._posts % self._plan.sampled == 0)

    def post_batch(self, dues: list[float]) -> None:
        """All of them in one request."""
        asks = [(self.script.next(), due) for due in dues]
        for read in [each for each in asks if each[0].kind is Kind.READ]:
            self.in_flight += 1
            self._read(*read)
        asks = [each for each in asks if each[0].kind is not Kind.READ]
        if asks:
            self.in_flight += len(asks)
            self._commands += len(asks)
            self._ticked["posted"] += len(asks)
            self._send_batch(asks)

    async def answered_or(self, seconds: float) -> None:
        """Until an answer came, at most so long."""
        self._answered.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._answered.wait()
        except TimeoutError:
            pass

    async def settle(self, seconds: float) -> int:
        """Until nothing is under way; how many commands are still unanswered then."""
        end = self._loop.time() + seconds
        while self.in_flight and (left := end - self._loop.time()) > 0:
            await self.answered_or(left)
        return self._commands

    def since_last_tick(self) -> tuple[int, int, int, HdrHistogram]:
        """(posted, accepted, refused, latencies)."""
        ticked, self._ticked = self._ticked, Counter()
        recent, self._recent = self._recent, histogram()
        return ticked["posted"], ticked["accepted"], ticked["refused"], recent

    def _send(self, ask: Ask, due: float, *, wait: bool) -> None:
        def answered(status: int, head: bytes, body: bytes) -> None:  # noqa: ARG001 - the connection's shape
            if status == 0 or (status >= 500 and b'"code":"' not in body):
                self._again(send)
            elif status < 300:
                self._accept(ask, due, body if wait else b"")
            elif b'"outcome":"' in body:
                self._accept(ask, due, b"")  # decided against, after it was accepted
            else:
                self._refuse(ask, body, status)

        send = self._sending(ask, answered, wait=wait)
        send()

    def _sending(self, ask: Ask, answered: Answered, *, wait: bool) -> Callable[[], None]:
        if self._broker is not None:
            broker, (name, ident, content) = self._broker, self._requests.message(ask)
            return lambda: broker.send(name, ident, content, answered, wait=wait)
        request = self._requests.command(ask, wait=wait)
        return lambda: self._connections.send(request, answered)

    def _send_batch(self, asks: list[tuple[Ask, float]]) -> None:
        request = self._requests.batch([ask for ask, _ in asks])

        def answered(status: int, head: bytes, body: bytes) -> None:  # noqa: ARG001 - the connection's shape
            lines = body.splitlines()
            if status != 200 or len(lines) != len(asks):
                self._again(lambda: self._connections.send(request, answered))
                return
            for (ask, due), line in zip(asks, lines, strict=True):
                if b'"status":"refused"' in line:
                    self._refuse(ask, line, 503)
                else:
                    self._accept(ask, due, b"")

        self._connections.send(request, answered)

    def _again(self, send: Callable[[], None]) -> None:
        """No answer: the same command once more, under the same key."""
        self._done.repeats += 1
        self._loop.call_later(AGAIN_SECONDS, send)

    def _accept(self, ask: Ask, due: float, waited: bytes) -> None:
        took = self._loop.time() - due
        self._done.accepted += 1
        self._done.posted += 1
        self._done.last_accepted = time.time()
        self._ticked["accepted"] += 1
        record(self._recent, took)
        self._commands -= 1
        self.script.accepted(ask)
        receipt = _RECEIPT.decode(waited) if waited else None
        if receipt is not None and receipt.status == "applied":
            record(self.latencies["applied"], took)
            self.script.readable(ask, receipt.token)
            self._see(ask, due, receipt.token)
            return
        if receipt is None:
            record(self.latencies["accepted"], took)
        self._over()

    def _refuse(self, ask: Ask, body: bytes, status: int) -> None:
        self._done.refused += 1
        self._done.posted += 1
        self._ticked["refused"] += 1
        self._count(_code(body, status))
        self._commands -= 1
        self.script.refused(ask)
        self._over()

    def _see(self, ask: Ask, due: float, token: str) -> None:
        """From the moment it was due to a read that is held to its token."""
        request = self._requests.read(ask.comment, token)

        def answered(status: int, head: bytes, body: bytes) -> None:
            if status == 200 or (status == 404 and self._plan.shape.delete):  # it may be gone again
                record(self.latencies["visible"], self._loop.time() - due)
                self._judge(token, status, head)
                self._over()
            elif status in {0, 503}:
                self._again(lambda: self._connections.send(request, answered))
            else:
                self._fault(f"a read held to {token} was answered {status} {body[:200]!r}")
                self._over()

        self._connections.send(request, answered)

    def _read(self, ask: Ask, due: float) -> None:
        token = self.script.token(ask)

        def answered(status: int, head: bytes, body: bytes) -> None:
            self._done.reads += 1
            record(self.latencies["read"], self._loop.time() - due)
            if status not in {200, 404}:
                self._count(_code(body, status))
            self._judge(token, status, head)
            self._over()

        self._connections.send(self._requests.read(ask.comment, token), answered)

    def _judge(self, token: str, status: int, head: bytes) -> None:
        """I8: never older than the token."""
        if status != 200:
            return
        shown, wanted = _VERSION.search(head), int(token.rpartition("@")[2])
        if shown is None or int(shown[1]) < wanted:
            self._fault(f"I8 {token}: a read held to it showed version {shown[1].decode() if shown else None}")

    def _fault(self, text: str) -> None:
        self._count("fault")
        if len(self._done.faults) < FAULTS:
            self._done.faults.append(text)

    def _count(self, code: str) -> None:
        self._done.errors[code] = self._done.errors.get(code, 0) + 1

    def _over(self) -> None:
        self.in_flight -= 1
        self._answered.set()


def _code(body: bytes, status: int) -> str:
    try:
        return _RECEIPT.decode(body).code or str(status)
    except msgspec.MsgspecError:
        return str(status)
