"""Queries: Redis first, PostgreSQL else, and never less than the tokens a reader holds.

async with open_reads(settings, store, heads) as reads:  # readmodel.opening
    answer = await reads.comment("42", Hold(after=(token,)))
"""

from typing import TYPE_CHECKING

from events.ids import StreamId, Token
from readmodel.answers import CACHE, DATABASE, Answer, CommentPage, CommentView, NewestComments, PictureView, T
from readmodel.comments import queries
from readmodel.comments.cached import (
    READ_COMMENT,
    READ_NEWEST,
    READ_PICTURE,
    comment_key,
    comment_stream,
    newest_key,
    picture_key,
)
from readmodel.covering import Covered
from readmodel.database import check_database
from readmodel.entries import Entry
from readmodel.holding import Holding
from readmodel.holds import NOTHING_HELD, Hold
from readmodel.pages import Page, page_from_newest, page_of
from readmodel.tiers import Tiers
from runtime.metrics import READS

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection


class Reads:
    """All methods raise NotYet, StreamParked, ReadsUnavailable (Retryable) or TokenBeyondStore (Rejected)."""

    def __init__(self, tiers: Tiers, holding: Holding) -> None:
        self._tiers, self._holding = tiers, holding
        self._prefix = tiers.cache.prefix
        self._covered = Covered()

    async def comment(self, comment_id: str, hold: Hold = NOTHING_HELD) -> Answer[CommentView]:
        """The version is the stream's, also where the comment is deleted; 0 where it never was."""
        stream = comment_stream(comment_id)
        key = comment_key(self._prefix, stream)
        looked = await self._tiers.look(key, READ_COMMENT)
        if looked.entry is not None and (_comment_shows(stream, looked.entry.version, hold) or self._covers(key, looked.entry, hold)):
            return _answered(looked.entry.view, CACHE, looked.entry.version)
        await self._holding.reach(hold)

        async def load(connection: "AsyncConnection") -> tuple[int, CommentView | None]:
            return (await queries.comments_by_stream(connection, [stream])).get(stream, (0, None))

        version, view = await self._tiers.load(key, looked, load)
        self._covered.note(key, version, hold)
        return _answered(view, DATABASE, version)

    async def picture(self, picture_id: str, hold: Hold = NOTHING_HELD) -> Answer[PictureView]:
        """Never None: a picture nobody commented on has count 0."""
        key = picture_key(self._prefix, picture_id)
        looked = await self._tiers.look(key, READ_PICTURE)
        if looked.entry is not None and looked.entry.view is not None and self._covers(key, looked.entry, hold):
            return _answered(looked.entry.view, CACHE, looked.entry.version)
        await self._holding.reach(hold)
        revision, view = await self._tiers.load(key, looked, lambda connection: queries.picture(connection, picture_id))
        self._covered.note(key, revision, hold)
        return _answered(view, DATABASE, revision)

    async def comments(self, picture_id: str, page: Page, hold: Hold = NOTHING_HELD) -> Answer[CommentPage]:
        """Never None. What lies within a picture's newest 100 comes from the cache."""
        key = newest_key(self._prefix, picture_id)
        looked = await self._tiers.look(key, READ_NEWEST)
        if (
            looked.entry is not None
            and looked.entry.view is not None
            and (_list_shows(looked.entry.view, hold) or self._covers(key, looked.entry, hold))
        ):
            shown = page_from_newest(looked.entry.view, page, picture_id)
            if shown is not None:
                return _answered(shown, CACHE, looked.entry.version)
        await self._holding.reach(hold)
        if looked.entry is None:  # fill the list, and answer from it if it covers the page
            revision, held = await self._tiers.load(key, looked, lambda connection: _newest(connection, picture_id))
            self._covered.note(key, revision, hold)
            shown = page_from_newest(held, page, picture_id)
            if shown is not None:
                return _answered(shown, DATABASE, revision)
        revision, found = await self._tiers.ask(lambda connection: queries.page(connection, picture_id, page))
        self._covered.note(key, revision, hold)
        return _answered(page_of(found, page, picture_id, more=False), DATABASE, revision)

    def _covers(self, key: str, entry: Entry, hold: Hold) -> bool:
        return self._covered.covers(key, entry.version, hold)

    async def projected(self, stream: StreamId, version: int) -> dict[str, bool]:
        """Whether each projector has passed this version of a stream, now. A parked stream counts as not passed."""
        reached = await self._holding.progress(stream)
        return {"rds": reached.shows(version), "cache": reached.cached(version)}

    async def check(self) -> None:
        """For readiness: PostgreSQL answers. Raises DatabaseUnavailable. Redis away only makes queries slower."""
        await check_database(self._tiers.database)


def _answered(value: T | None, source: str, version: int) -> Answer[T]:
    READS.labels(source).inc()
    return Answer(value, source, version)


def _comment_shows(stream: StreamId, version: int, hold: Hold) -> bool:
    return all(token.stream == stream and token.version <= version for token in hold.after)


def _list_shows(held: NewestComments, hold: Hold) -> bool:
    if not hold.after:
        return True
    versions = {comment_stream(comment.comment_id): comment.version for comment in held.comments}
    return all(_at_least(versions, token) for token in hold.after)


def _at_least(versions: dict[StreamId, int], token: Token) -> bool:
    return versions.get(token.stream, -1) >= token.version


async def _newest(connection: "AsyncConnection", picture_id: str) -> tuple[int, NewestComments]:
    return (await queries.newest(connection, [picture_id]))[picture_id]
