"""`POST /commands` and `GET /commands/{id}`: any command by its name, and what became of it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import Struct

from events.ids import StreamId, Version, is_command_id, is_id, stream_parts
from events.outcome import Outcome, Status
from gateway.answers import Answer, json_answer
from gateway.identity import MAX_WAIT, actor_of, caller_of, new_key, seconds
from gateway.lookup import Found, Lookup
from gateway.outcomes import Outcomes
from gateway.posting import Poster
from gateway.preparing import Posted, Prepared, Preparer
from gateway.problems import Problem, later, malformed
from gateway.receipts import Locations
from gateway.requests import Request
from gateway.strict_json import read
from runtime.errors import Retryable
from runtime.times import Clock

PROJECTED_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 5.0
"""Beyond the wait that was asked for."""
Projected = Callable[[StreamId, Version], Awaitable[dict[str, bool]]]


class StatusBody(Struct, frozen=True, omit_defaults=True):
    """The answer of `GET /commands/{id}`."""

    command_id: str
    stream: str
    status: str
    version: int | None = None
    token: str | None = None
    projected: dict[str, bool] | None = None
    reason: str = ""
    detail: str = ""


class CommandRoutes:
    """`locations` says where the aggregates of each stream type are found."""

    def __init__(self, preparer: Preparer, poster: Poster, locations: Locations, clock: Clock) -> None:
        self._preparer, self._poster, self._locations, self._clock = preparer, poster, locations, clock

    async def post(self, request: Request) -> Answer:
        """Any registered command."""
        request.parameters()
        caller = caller_of(request)
        posted = read(await request.body(), Posted)
        return await self.send(self._preparer.posted(posted, caller, new_key(), self._clock()), caller.wait)

    async def send(self, prepared: Prepared, wait: float) -> Answer:
        """A command that some route prepared."""
        return await self._poster.post(prepared, wait, self._created_below(prepared) if wait else None)

    def _created_below(self, prepared: Prepared) -> str | None:
        if not self._preparer.creates(prepared.command.name):
            return None
        kind = self._preparer.stream_type(prepared.command.stream) or ""
        return self._locations.get(kind, "")


class StatusRoute:
    """What became of a command, for those who ask later."""

    def __init__(self, lookup: Lookup, outcomes: Outcomes, projected: Projected) -> None:
        self._lookup, self._outcomes, self._projected = lookup, outcomes, projected

    async def get(self, request: Request) -> Answer:
        """200 with what is known, 404 when nothing is."""
        given = request.parameters(once=("stream", "wait", "actor"))
        stream, actor = _stream(given), _actor(given, request)
        wait = seconds(given["wait"][0], MAX_WAIT) if "wait" in given else 0.0
        (command_id,) = request.parts
        if not is_command_id(command_id):
            raise malformed("a command's id is 1-128 of A-Za-z0-9._~:-")
        try:
            async with asyncio.timeout(wait + LOOK_SECONDS):
                found = await self._find(stream, actor, command_id)
                if found.outcome is None and wait:
                    found = await self._held(stream, found.actor, command_id, wait)
        except TimeoutError:
            raise later("unavailable", "the event store does not answer in time") from None
        return json_answer(await self._body(stream, command_id, found.outcome))

    async def _find(self, stream: StreamId, actor: str, command_id: str) -> Found:
        found = await self._lookup.find(stream, actor, command_id)
        if found is None:
            raise Problem("unknown_command_id")
        return found

    async def _held(self, stream: StreamId, actor: str, command_id: str, wait: float) -> Found:
        async def look() -> Outcome | None:
            try:
                found = await self._lookup.find(stream, actor, command_id)
            except Retryable:
                return None
            return found.outcome if found else None

        until = asyncio.get_running_loop().time() + wait
        with self._outcomes.expecting((stream, actor, command_id)) as waiter:
            waiter.outcome = await look()  # it may have been decided before we listened
            return Found(actor, await self._outcomes.outcome(waiter, until, look))

    async def _body(self, stream: StreamId, command_id: str, outcome: Outcome | None) -> StatusBody:
        if outcome is None:
            return StatusBody(command_id, stream, Status.PENDING.value)
        if outcome.status is not Status.APPLIED:
            return StatusBody(command_id, stream, outcome.status.value, outcome.version, None, None, outcome.reason, outcome.detail)
        return StatusBody(
            command_id,
            stream,
            outcome.status.value,
            outcome.version,
            f"{stream}@{outcome.version}",
            await self._seen_by(stream, outcome.version),
        )

    async def _seen_by(self, stream: StreamId, version: Version) -> dict[str, bool] | None:
        try:
            async with asyncio.timeout(PROJECTED_SECONDS):
                return await self._projected(stream, version)
        except (Retryable, TimeoutError):
            return None


def _stream(given: dict[str, list[str]]) -> StreamId:
    stream = given.get("stream", [""])[0]
    if stream_parts(stream) is None:
        raise malformed("the query parameter stream must name the command's stream")
    return StreamId(stream)


def _actor(given: dict[str, list[str]], request: Request) -> str:
    if "actor" not in given:
        return actor_of(request)
    actor = given["actor"][0]
    if not is_id(actor):
        raise malformed("the query parameter actor must be 1-128 of A-Za-z0-9._~-")
    return actor
