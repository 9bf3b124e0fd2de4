"""Kills processes of a live stack at random, and knows of each whether it had work in hand when it was struck.

A projector tells how many messages it holds on its `/metrics`, and is struck in that moment. A relay is stopped first: the lease row
says whether it reads the stream, and the stream whether there are records beyond the checkpoint, which it then has read, published or
still to read. A relay that only stands by has nothing in hand; neither has a process that is still starting.
"""

import asyncio
import os
import random
import re
import signal
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Final

import aiohttp
from msgspec import Struct

from headrace.local import state
from headrace.local.state import Part
from loadtest.ground import Ground
from loadtest.lease_history import LeaseWatch
from runtime.aws import AwsRefused, AwsUnavailable, aws_errors

if TYPE_CHECKING:
    from types_aiobotocore_dynamodbstreams import DynamoDBStreamsClient

SIGNALS: Final = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "stop": signal.SIGSTOP}
RELAY: Final = "relay"
DRAWN, ANYBODY, LAST = 0.35, 0.7, 0.9
"""Shares of the time between two strikes: until then the one that was drawn is waited for, any that has work is, anybody will do."""
RELAY_MOVES: Final = 3
"""Checkpoints that a relay gets to move before one is struck that was not drawn."""
BLIND: Final = 0.15
"""Share of the strikes that look for nothing: they meet whoever stands by, or is just starting."""
_IN_HAND: Final = re.compile(r"^headrace_in_hand_messages ([0-9.e+]+)$", re.M)
_TIMEOUT: Final = aiohttp.ClientTimeout(total=0.5)

Struck = tuple[Part, int | None]
"""Who was, and what it had in hand; None: it was starting."""


class Strike(Struct, frozen=True):
    """One. `in_hand`: messages, or for a relay 1; 0: none. `ready`: it was serving."""

    after: float
    """Seconds from the beginning."""
    name: str
    role: str
    how: str
    in_hand: int
    ready: bool = True


class Plan(Struct, frozen=True):
    """What is done to whom. `stopped`: seconds that a SIGSTOP lasts."""

    roles: tuple[str, ...]
    signals: tuple[str, ...]
    seconds: float
    every: float
    stopped: float
    seed: int


class Nemesis:
    """Strikes by plan."""

    def __init__(self, on: Ground, plan: Plan, leases: LeaseWatch, streams: "DynamoDBStreamsClient", stream: str) -> None:
        self._on, self._plan, self._leases, self._streams, self._stream = on, plan, leases, streams, stream
        self._chance = random.Random(plan.seed)  # noqa: S311 - the same choices every time
        self._standing: dict[int, str] = {}
        """Processes that are stopped now, and their roles: one of a role at a time, so that there is work to be met."""
        self._moves = 0
        """Of checkpoints, when a relay was last struck."""
        self.strikes: list[Strike] = []

    async def run(self) -> None:
        """Until the plan's time is over; then everybody goes on."""
        began = monotonic()
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as self._http, asyncio.TaskGroup() as standing:
            for number in range(int(self._plan.seconds / self._plan.every)):
                await asyncio.sleep(max(0.0, began + number * self._plan.every - monotonic()))
                how = self._chance.choice(self._plan.signals)
                if how == "stop" and set(self._plan.roles) <= {*self._standing.values()}:
                    how = "kill"
                struck = await self._strike(how)
                if struck is None:
                    continue
                victim, in_hand = struck
                self.strikes.append(Strike(round(monotonic() - began, 2), victim.name, victim.role, how, in_hand or 0, in_hand is not None))
                if victim.role == RELAY and in_hand:
                    self._moves = self._leases.history.moves
                if how == "stop" and victim.pid is not None:
                    self._standing[victim.pid] = victim.role
                    standing.create_task(self._goes_on(victim.pid))

    async def _strike(self, how: str) -> Struck | None:
        """One is drawn, and waited for until it has something in hand; then whoever has; then one that is drawn again, whatever it has.
        None: nobody serves."""
        blind, began, drawn = self._chance.random() < BLIND, monotonic(), self._victims(how)[:1]
        while (gone := (monotonic() - began) / self._plan.every) < LAST:
            struck: list[Struck] = []
            anyhow = blind or gone > ANYBODY
            await asyncio.gather(*(self._try(victim, how, struck, starting=blind, idle=anyhow) for victim in drawn))
            if struck:
                return struck[0]
            if gone > DRAWN:
                drawn = self._victims(how)
                drawn = drawn[:1] if anyhow else [each for each in drawn if each.role != RELAY or self._relay_has_worked()]
            await asyncio.sleep(self._chance.uniform(0.0, 0.05))
        return None

    async def _try(self, victim: Part, how: str, struck: list[Struck], *, starting: bool, idle: bool) -> None:
        """Strike it in the moment in which it is seen to have work, unless another one was faster."""
        in_hand: int | None = None
        try:
            in_hand = await self._look(victim)
            wanted = starting if in_hand is None else idle or in_hand > 0
            if wanted and not struck and _told(victim, SIGNALS[how]):
                struck.append((victim, in_hand))
        finally:
            if how != "stop" or (victim, in_hand) not in struck:
                _told(victim, signal.SIGCONT)  # from the look; what stands still takes no other signal than SIGKILL

    def _relay_has_worked(self) -> bool:
        """Since one was struck with work in hand. It nearly always has work: struck whenever others have none, none would ever get on."""
        return self._leases.history.moves >= self._moves + RELAY_MOVES

    def _victims(self, how: str) -> list[Part]:
        """Processes that may be struck so now, in any order."""
        stack = state.live(self._on.folder)
        parts = [part for part in (stack.parts if stack else ()) if part.role in self._plan.roles]
        parts = [part for part in parts if part.pid not in {None, *self._standing}]
        found = [part for part in parts if how != "stop" or part.role not in self._standing.values()]
        self._chance.shuffle(found)
        return found

    async def _look(self, victim: Part) -> int | None:
        held = await self._held(victim)
        return await self._unread(victim) if victim.role == RELAY and held is not None else held

    async def _goes_on(self, pid: int) -> None:
        try:
            await asyncio.sleep(self._plan.stopped)
        finally:
            self._standing.pop(pid, None)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    async def _held(self, victim: Part) -> int | None:
        """Messages that it has not settled; None when it does not answer."""
        with suppress(aiohttp.ClientError, TimeoutError, OSError):
            async with self._http.get(f"{victim.url}/metrics") as answer:
                found = _IN_HAND.search(await answer.text())
                return round(float(found[1])) if found else 0
        return None

    async def _unread(self, victim: Part) -> int:
        """1 when this relay, stopped now, has a shard and that shard has records beyond its checkpoint."""
        _told(victim, signal.SIGSTOP)
        with suppress(AwsUnavailable):
            for key, lease in (await self._leases.look()).items():
                if lease.of_process(victim.pid or 0) and await self._beyond(key.rpartition("#")[2], lease.checkpoint):
                    return 1
        return 0

    async def _beyond(self, shard: str, checkpoint: int) -> bool:
        after = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": str(checkpoint)}
        where = after if checkpoint else {"ShardIteratorType": "TRIM_HORIZON"}
        try:
            with aws_errors():
                iterator = (await self._streams.get_shard_iterator(StreamArn=self._stream, ShardId=shard, **where))["ShardIterator"]  # type: ignore[arg-type]
                return bool((await self._streams.get_records(ShardIterator=iterator, Limit=1))["Records"])
        except AwsRefused:  # trimmed: there is more than enough
            return True


def _told(victim: Part, what: signal.Signals) -> bool:
    try:
        os.kill(victim.pid or 0, what)
    except ProcessLookupError:
        return False
    return True


def counted(strikes: Sequence[Strike]) -> dict[str, dict[str, int]]:
    """By role: how often struck, how often with work in hand. Pure."""
    return {
        "strikes": dict(Counter(each.role for each in strikes)),
        "signals": dict(Counter(each.how for each in strikes)),
        "with_work": dict(Counter(each.role for each in strikes if each.in_hand)),
    }


def too_few(strikes: Sequence[Strike], plan: Plan) -> Iterable[str]:
    """Why this run proves nothing. Pure."""
    wanted = int(plan.seconds / plan.every)
    if len(strikes) < 0.8 * wanted:
        yield f"void: {len(strikes)} strikes of {wanted}"
    working = sum(1 for each in strikes if each.in_hand)
    if 2 * working < len(strikes):
        yield f"void: only {working} of {len(strikes)} strikes met work in hand"
    for role in set(plan.roles) - {each.role for each in strikes if each.in_hand}:
        yield f"void: no {role} was struck with work in hand"
