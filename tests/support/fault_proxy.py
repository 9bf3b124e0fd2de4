"""A proxy before an AWS backend with faults on request: appends that are throttled, a call that never arrives, publishes that are lost."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import parse_qsl

from tests.support.counting_proxy import CountingProxy, listening

TRANSACT: Final = "dynamodb.TransactWriteItems"
APPENDS: Final = (TRANSACT, "dynamodb.BatchExecuteStatement")
"""The calls that carry commits, on every backend whose stack does not fall back to single puts."""
PUBLISH: Final = "sns.PublishBatch"
CANCELED: Final = "TransactionCanceledException"
THROTTLES: Final = ("ThrottlingException", "ProvisionedThroughputExceededException", CANCELED)


class FaultProxy(CountingProxy):
    """Nothing is wrong until asked for."""

    def __init__(self, backend: str, seed: int) -> None:
        super().__init__(backend)
        self._chance = random.Random(seed)
        self._share = 0.0
        self._held = ""
        self._lost = 0
        self.swallowed: list[list[str]] = []
        """Bodies of the messages of each such call."""
        self.throttled: Counter[str] = Counter()
        """Appends that were refused, by what they were told."""
        self.arrived = asyncio.Event()
        """The call that is held has come."""

    def throttle(self, share: float) -> None:
        """From now on this share of the appends is told that too much was asked; 0: none."""
        self._share = share

    def hold(self, call: str) -> None:
        """From now on such a call neither reaches the backend nor is answered; "": none."""
        self._held = call
        self.arrived.clear()

    def swallow(self, calls: int) -> None:
        """So many publishes from now on are told that all is well, and go nowhere."""
        self._lost = calls

    @property
    def appends(self) -> int:
        """Calls so far, refused ones too."""
        return sum(self.seen[call] for call in APPENDS)

    async def instead(self, call: str, body: bytes) -> bytes | None:
        if call == self._held:
            self.arrived.set()
            await asyncio.Event().wait()
        if call == PUBLISH and self._lost:
            self._lost -= 1
            return self._swallow(body)
        if call in APPENDS and self._chance.random() < self._share:
            return self._throttle(call, body)
        return await super().instead(call, body)

    def _throttle(self, call: str, body: bytes) -> bytes:
        kind = self._chance.choice(THROTTLES if call == TRANSACT else THROTTLES[:2])
        self.throttled[kind] += 1
        said: dict[str, Any] = {"__type": f"com.amazonaws.dynamodb.v20120810#{kind}", "message": "too much was asked"}
        if kind == CANCELED:
            said["CancellationReasons"] = self._reasons(len(json.loads(body)["TransactItems"]))
        return _answer(json.dumps(said).encode())

    def _swallow(self, body: bytes) -> bytes:
        said = parse_qsl(body.decode())
        self.swallowed.append([value for name, value in said if name.endswith(".Message")])
        ids = [value for name, value in said if name.endswith(".Id")]
        taken = "".join(f"<member><Id>{each}</Id><MessageId>lost</MessageId></member>" for each in ids)
        result = f"<PublishBatchResult><Successful>{taken}</Successful><Failed/></PublishBatchResult>"
        return _answer(f"<PublishBatchResponse>{result}</PublishBatchResponse>".encode(), "200 OK", "text/xml")

    def _reasons(self, count: int) -> list[dict[str, str]]:
        """At least one item stood in the way of the others."""
        hot = {self._chance.randrange(count), *(place for place in range(count) if self._chance.random() < 0.3)}
        return [{"Code": "ThrottlingError", "Message": "hot"} if place in hot else {"Code": "None"} for place in range(count)]


def _answer(body: bytes, status: str = "400 Bad Request", kind: str = "application/x-amz-json-1.0") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@asynccontextmanager
async def fault_proxy(backend: str, seed: int = 1) -> AsyncIterator[FaultProxy]:
    """On a free loopback port, before the backend at that URL."""
    proxy = FaultProxy(backend, seed)
    async with listening(proxy):
        yield proxy
