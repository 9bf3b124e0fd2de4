"""Every read against the fold of the event store: each comment, each picture, each list in both orders, page by page."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

import aiohttp

from events.comments.decider import Comment
from events.domain import Registry
from events.envelope import Commit
from events.history import History
from events.ids import StreamId
from events.store import EventStore
from runtime.times import rfc3339

PAGE: Final = 37  # no divisor of anything, so that pages end in odd places
AT_ONCE: Final = 16
_KIND: Final = "comment"
Check = Callable[[], Awaitable[str]]


async def histories(store: EventStore, registry: Registry) -> dict[StreamId, History]:
    """All comments' streams, folded."""
    commits: dict[StreamId, list[Commit]] = {}
    async for page in store.scan():
        for commit in page:
            commits.setdefault(commit.stream, []).append(commit)
    found = {}
    for stream, parts in commits.items():
        domain = registry.of_stream(stream)
        if domain is not None and domain.type == _KIND:
            found[stream] = History(stream, domain.decider).absorb(sorted(parts, key=lambda each: each.first), registry)
    return found


def shown(history: History) -> dict[str, Any]:
    """A comment as the API shows it."""
    comment: Comment = history.state
    return {
        "comment_id": history.stream.partition("-")[2],
        "picture_id": comment.picture_id,
        "author": comment.author,
        "text": comment.text,
        "version": history.version,
        "created_at": rfc3339(comment.created_at),
        "updated_at": rfc3339(comment.updated_at),
    }


async def differences(http: aiohttp.ClientSession, gateway: str, folded: Mapping[StreamId, History]) -> list[str]:
    """One line for each read that is not what the event store says; empty when all are."""
    pictures: dict[str, list[dict[str, Any]]] = {}
    last: dict[str, str] = {}
    for history in folded.values():
        view = shown(history)
        kept = pictures.setdefault(view["picture_id"], [])
        last[view["picture_id"]] = max(last.get(view["picture_id"], ""), view["created_at"])
        if not history.state.deleted:
            kept.append(view)
    reads = _Reads(http, gateway)
    checks: list[Check] = [partial(reads.comment, history) for history in folded.values()]
    for picture, views in pictures.items():
        checks.append(partial(reads.picture, picture, len(views), last[picture]))
        checks += [partial(reads.page_by_page, picture, views, newest=newest) for newest in (True, False)]
    return [line for line in await _side_by_side(checks) if line]


async def _side_by_side(checks: Iterable[Check]) -> list[str]:
    waiting, lines = deque(checks), []

    async def one_after_another() -> None:
        while waiting:
            lines.append(await waiting.popleft()())

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(one_after_another())
    return lines


class _Reads:
    """Each method is one check; an empty answer means it held."""

    def __init__(self, http: aiohttp.ClientSession, gateway: str) -> None:
        self._http, self._gateway = http, gateway

    async def comment(self, history: History) -> str:
        view = shown(history)
        token = f"{history.stream}@{history.version}"
        status, body = await self._get(f"/comments/{view['comment_id']}", after=token, wait="10")
        if history.state.deleted:
            return "" if status == 404 else f"{history.stream} is deleted, but GET says {status}"
        return "" if (status, body) == (200, view) else f"{history.stream}: GET says {status} {body}, the fold {view}"

    async def picture(self, picture: str, count: int, last: str) -> str:
        wanted = {"picture_id": picture, "comment_count": count, "last_commented_at": last}
        status, body = await self._get(f"/pictures/{picture}")
        return "" if (status, body) == (200, wanted) else f"{picture}: GET says {status} {body}, the fold {wanted}"

    async def page_by_page(self, picture: str, views: list[dict[str, Any]], *, newest: bool) -> str:
        wanted = sorted(views, key=lambda view: (view["created_at"], view["comment_id"]), reverse=newest)
        found: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            order = "newest" if newest else "oldest"
            status, body = await self._get(f"/pictures/{picture}/comments", limit=str(PAGE), order=order, **cursor)
            if status != 200:
                return f"{picture}: its list says {status} {body}"
            found += body["comments"]
            if body["next_cursor"] is None:
                break
            cursor = {"cursor": body["next_cursor"]}
        if found == wanted:
            return ""
        return f"{picture}: its list shows {len(found)} comments, the fold {len(wanted)}, or in another order or state"

    async def _get(self, path: str, **query: str) -> tuple[int, Any]:
        async with self._http.get(self._gateway + path, params=query) as answer:
            return answer.status, await answer.json(content_type=None)
