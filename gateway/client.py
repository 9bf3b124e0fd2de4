"""A client for backend services that post commands and do not wait: `async with Client(url, actor="billing") as client: ...`.

Every command has its id before it is first sent and keeps it, so what was not answered is simply sent again: it has one effect.
Order: a caller who awaits each `post` has its commands on a stream decided in that order, and so has one request of a batch. What is
posted side by side has no order.

What is raised: `Refused` (the domain or the gateway says no; never repeated), `Unavailable` (no answer by the deadline: repeat under the
same id), `NotOurs`. A session (`client.session()`) holds its reads to its own writes.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from math import ceil
from types import TracebackType
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode
from uuid import uuid4

import msgspec

from gateway.calling.batching import Way, batched
from gateway.calling.connection import Answer
from gateway.calling.failures import NotOurs, Refused, Unavailable
from gateway.calling.feed import Change, follow
from gateway.calling.pool import Pool
from gateway.calling.refusing import refusal
from gateway.calling.repeating import repeated
from gateway.calling.shapes import ENCODER, PENDING, Command, Comment, CommentPage, Picture, Receipt
from gateway.session import Session

__all__ = ["Change", "Client", "Command", "Comment", "NotOurs", "Picture", "Receipt", "Refused", "Session", "Unavailable", "new_id"]

DEADLINE_SECONDS: Final = 30.0
ANSWER_SECONDS: Final = 15.0
CONNECTIONS: Final = 64
PAGE: Final = 100
MOST_HELD: Final = 30
NOT_FOUND: Final = 404
NOTHING: Final[Mapping[str, str]] = {}
Hold = tuple[Sequence[str], float]
"""(tokens, seconds)."""
_T = TypeVar("_T")


def new_id() -> str:
    """A command's id."""
    return uuid4().hex


class Client:
    """Of one gateway, for one caller.

    `actor`: who posts, where the gateway trusts its network; `authorization`: the value of that header, where it does not.
    `deadline`: seconds that an operation (of a batch, each request) may take with all its repetitions; `connections`: how many at once.
    """

    def __init__(
        self,
        url: str,
        *,
        actor: str | None = None,
        authorization: str | None = None,
        deadline: float = DEADLINE_SECONDS,
        connections: int = CONNECTIONS,
    ) -> None:
        self._pool = Pool(url, connections)
        self._deadline = deadline
        caller = {"Headrace-Actor": actor, "Authorization": authorization}
        self._head = "".join(f"{name}: {_line(value)}\r\n" for name, value in caller.items() if value is not None)

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, wrong: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Idle connections at once; requests under way end first."""
        self._pool.close()

    def session(self) -> Session:
        """Reads through it show at least what was written through it."""
        return Session(self)

    async def post(
        self, name: str, data: Any, *, command_id: str | None = None, expected_version: int | None = None, wait: float = 0.0
    ) -> Receipt:
        """A receipt: `pending` as soon as SQS has the command; with `wait` (seconds) its outcome, if that is known in time.

        Raises Refused also for a command that was decided against while we waited.
        """
        command = Command(name, data, command_id or new_id(), expected_version)
        request = self._request("POST", "/commands", ENCODER.encode(command), wait)
        return _read(await self._ask(request, wait, command.id), Receipt)

    async def create_comment(self, picture_id: str, text: str, *, comment_id: str | None = None, **how: Any) -> Receipt:
        """Command `comment.create`; `how` as for `post`. Without a `comment_id` the new comment's id stands in the receipt's stream."""
        data = {"picture_id": picture_id, "text": text} | ({"comment_id": comment_id} if comment_id else {})
        return await self.post("comment.create", data, **how)

    async def update_comment(self, comment_id: str, text: str, **how: Any) -> Receipt:
        """Command `comment.update`; `how` as for `post`."""
        return await self.post("comment.update", {"comment_id": comment_id, "text": text}, **how)

    async def delete_comment(self, comment_id: str, **how: Any) -> Receipt:
        """Command `comment.delete`; `how` as for `post`."""
        return await self.post("comment.delete", {"comment_id": comment_id}, **how)

    def batch(self, commands: Iterable[Command] | AsyncIterable[Command], *, wait: float = 0.0) -> AsyncIterator[Receipt]:
        """A receipt a command, in order, in memory that does not grow: one request of some hundred commands after the other.

        What the gateway could not take now is sent again until the deadline, which is each request's own. A line that was refused
        for good has `status` `refused`; nothing is raised for it. Unavailable carries the id of the first command without a receipt.
        """
        return batched(Way(self._post_lines, wait, self._deadline), commands)

    async def outcome(self, receipt: Receipt, *, wait: float = 30.0) -> Receipt:
        """What became of a command: asked for until it is no longer pending, for at most `wait` seconds."""
        clock = asyncio.get_running_loop().time
        until = clock() + wait
        while receipt.status == PENDING:
            left = max(0.0, until - clock())
            held = min(MOST_HELD, ceil(left))
            found = _read(await self._ask(self._request("GET", f"{receipt.status_url}&wait={held}"), held), Receipt)
            receipt = msgspec.structs.replace(found, status_url=receipt.status_url)
            if left <= 1:
                break
        return receipt

    async def comment(self, comment_id: str, *, after: Sequence[str] = (), wait: float = 1.0) -> Comment | None:
        """None where there is none, or it is deleted. `after`: tokens that the answer is held to."""
        return await self._get(f"/comments/{quote(comment_id, safe='')}", Comment, (after, wait))

    async def picture(self, picture_id: str, *, after: Sequence[str] = (), wait: float = 1.0) -> Picture:
        """A picture's count of comments; a picture nobody commented on has none."""
        found = await self._get(f"/pictures/{quote(picture_id, safe='')}", Picture, (after, wait))
        return found if found is not None else Picture(picture_id, 0)

    async def comments(
        self, picture_id: str, *, order: str = "newest", after: Sequence[str] = (), wait: float = 1.0
    ) -> AsyncIterator[Comment]:
        """All comments of a picture, page by page."""
        path, cursor = f"/pictures/{quote(picture_id, safe='')}/comments", None
        while True:
            given = {"limit": str(PAGE), "order": order} | ({"cursor": cursor} if cursor else {})
            page = await self._get(path, CommentPage, (after, wait), given)
            for comment in page.comments if page is not None else ():
                yield comment
            cursor = page.next_cursor if page is not None else None
            if cursor is None:
                return

    def changes(self, *, since: str = "", **subject: str) -> AsyncGenerator[Change, None]:
        """What becomes visible, for as long as it is asked for: one `picture_id`'s changes, or all.

        `since`: the `id` of the last change had, or an RFC 3339 time; from now on without. In order a stream, each once, over as many
        connections as it takes. A change named `reset` says that some were missed, which are no longer kept. Raises Unavailable when
        nothing is heard of the gateway for `deadline` seconds.
        """

        def request(last_id: str) -> bytes:
            given = {**subject, "since": last_id or since}
            return self._request("GET", f"/events?{urlencode({name: value for name, value in given.items() if value})}")

        return follow(self._pool, request, self._deadline)

    async def _get(self, path: str, kind: type[_T], hold: Hold, given: Mapping[str, str] = NOTHING) -> _T | None:
        """None for 404."""
        after, wait = hold
        parameters = [*given.items(), *(("after", token) for token in after)]
        if after:
            parameters.append(("wait", f"{min(10.0, wait):g}"))
        request = self._request("GET", f"{path}?{urlencode(parameters)}" if parameters else path)
        try:
            return _read(await self._ask(request, wait), kind)
        except Refused as no:
            if no.status == NOT_FOUND:
                return None
            raise

    async def _post_lines(self, lines: bytes, wait: float, seconds: float) -> Answer:
        """One request of the batch route."""
        request = self._request("POST", "/commands/batch", lines, wait, "application/x-ndjson")
        return await self._pool.ask(request, min(seconds, ANSWER_SECONDS + wait))

    async def _ask(self, request: bytes, wait: float, command_id: str = "") -> Answer:
        """An answer that is no problem, repeated as long as it is worth it; `wait`: seconds that the gateway may hold it back."""
        deadline = asyncio.get_running_loop().time() + self._deadline + wait
        answer = await repeated(lambda left: self._pool.ask(request, min(left, ANSWER_SECONDS + wait)), deadline, command_id)
        if answer.status >= 400:
            raise refusal(answer)
        return answer

    def _request(self, method: str, path: str, body: bytes = b"", wait: float = 0.0, kind: str = "application/json") -> bytes:
        prefer = f"Prefer: wait={ceil(wait)}\r\n" if wait else ""
        content = f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n" if method == "POST" else ""
        head = f"{method} {self._pool.prefix}{path} HTTP/1.1\r\nHost: {self._pool.host}\r\n{self._head}{prefer}{content}\r\n"
        return head.encode("latin-1") + body


def _read(answer: Answer, kind: type[_T]) -> _T:
    """Raises NotOurs."""
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except msgspec.MsgspecError as wrong:
        raise NotOurs(f"answered {answer.status} {answer.body[:200].decode(errors='replace')}: {wrong}") from wrong


def _line(value: str) -> str:
    """A header's value. Raises ValueError for one that would end its line."""
    if any(character in value for character in "\r\n\0"):
        raise ValueError("a header's value is one line")
    return value
