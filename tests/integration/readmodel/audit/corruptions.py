"""What may be wrong in a stack, one kind a function: written down before the checker was, and what it must say of each.

Each kind has a stream and a picture of its own, `comment-NAME` and `picture-of-NAME`, whole, projected and cached before it is
spoiled. `finds` is all that may be said of it, as invariant and what it is said of: S the stream, P the picture.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import insert

from events.comments.events import CommentCreated, CommentUpdated
from events.envelope import Settled
from events.ids import CommandId, Fingerprint, Version
from readmodel.control import PARKED
from runtime.times import now
from tests.integration.readmodel.audit.ground import Events, Ground, picture_of, stream_of
from tests.integration.readmodel.conftest import write
from tests.unit.readmodel.commits import commit

Spoil = Callable[[Ground, str], Awaitable[None]]


class Corruption(NamedTuple):
    """`prepare`: in place of a whole life."""

    spoil: Spoil
    finds: frozenset[str]
    prepare: Spoil | None = None

    @property
    def name(self) -> str:
        return self.spoil.__name__.replace("_", "-")


CORRUPTIONS: Final[list[Corruption]] = []


def finds(*found: str, prepare: Spoil | None = None) -> Callable[[Spoil], Spoil]:
    def add(spoil: Spoil) -> Spoil:
        CORRUPTIONS.append(Corruption(spoil, frozenset(found), prepare))
        return spoil

    return add


async def nothing(ground: Ground, name: str) -> None:
    """No stream of that name at all."""


async def first_commit_only(ground: Ground, name: str) -> None:
    await ground.begin(name)


async def without_the_last(ground: Ground, name: str) -> None:
    await ground.begin(name, 2)


async def written_today(ground: Ground, name: str) -> None:
    """Newer than the queue of `amqp`, and all of it published."""
    at = now()

    def today(events: Events) -> Events:
        return [{**each, "at": at + 1_000_000 * place} for place, each in enumerate(events)]

    made = commit(stream_of(name), 1, 0, CommentCreated(picture_of(name), "ann", "one"), CommentUpdated("two"))
    made = msgspec.structs.replace(made, events=msgspec.Raw(msgspec.json.encode(today(msgspec.json.decode(made.events)))))
    await write(ground.house, made)
    await ground.sql("INSERT INTO headrace.published VALUES (:s, 2, 1, 'c2')", s=stream_of(name))


# The event store.


@finds("I3 S", "I6 P")
async def commit_removed_in_the_middle(ground: Ground, name: str) -> None:
    await ground.remove(name, 2)


@finds("I5 S", "I6 S", "I6 P")
async def commit_removed_at_the_end(ground: Ground, name: str) -> None:
    await ground.remove(name, 4)


@finds("I3 S", "I6 P")
async def first_commit_removed(ground: Ground, name: str) -> None:
    await ground.remove(name, 1)


@finds("I3 S", "I6 P")
async def overlapping_commit(ground: Ground, name: str) -> None:
    await ground.house.store.append([commit(stream_of(name), 3, 2, CommentUpdated("overlaps"), command="other")])


@finds("I3 S")
async def wrong_previous(ground: Ground, name: str) -> None:
    await ground.put(name, 4, previous_commit={"N": "1"})


@finds("I3 S")
async def wrong_last(ground: Ground, name: str) -> None:
    await ground.put(name, 2, last_version={"N": "2"})


@finds("I3 S", "I6 P")
async def fewer_events_than_versions(ground: Ground, name: str) -> None:
    await ground.edit(name, 2, lambda events: events[:1])


@finds("I2 S")
async def command_acts_in_two_commits(ground: Ground, name: str) -> None:
    await ground.edit(name, 2, lambda events: [{**events[0], "command_id": "c1"}, *events[1:]])


def settled(command: str) -> dict[str, str]:
    kept = Settled(CommandId(command), "ann", Fingerprint("f" * 16), Version(1))
    return {"S": msgspec.json.encode([kept]).decode()}


@finds("I2 S")
async def settled_after_it_acted(ground: Ground, name: str) -> None:
    await ground.put(name, 4, settled=settled("c1"))


@finds("I2 S")
async def acts_after_it_was_settled(ground: Ground, name: str) -> None:
    await ground.put(name, 2, settled=settled("c4"))


@finds("I3 S", "I6 P")
async def unreadable_events(ground: Ground, name: str) -> None:
    await ground.put(name, 2, events={"S": '[{"name":"comment.up'})


@finds("I3 S", "I6 P")
async def item_without_its_end(ground: Ground, name: str) -> None:
    await ground.put(name, 2, last_version=None)


@finds("I3 S", "I6 P")
async def item_of_another_format(ground: Ground, name: str) -> None:
    await ground.put(name, 2, format={"N": "99"})


@finds("I3 S")
async def time_goes_back(ground: Ground, name: str) -> None:
    await ground.edit(name, 2, lambda events: [{**events[0], "at": 1}, *events[1:]])


@finds("I6 S", "I6 P")
async def event_that_nobody_can_apply_and_no_park(ground: Ground, name: str) -> None:
    await ground.edit(name, 4, lambda events: [{**events[0], "name": "comment.liked.v1"}])


# PostgreSQL: rows.


@finds("I6 S")
async def text_changed(ground: Ground, name: str) -> None:
    await ground.sql("UPDATE comments SET text = 'not what was said' WHERE stream = :s", s=stream_of(name))


@finds("I6 S")
async def time_changed(ground: Ground, name: str) -> None:
    await ground.sql("UPDATE comments SET updated_at = updated_at + interval '1 microsecond' WHERE stream = :s", s=stream_of(name))


@finds("I6 S")
async def deleted_flag_flipped(ground: Ground, name: str) -> None:
    await ground.sql("UPDATE comments SET deleted = true WHERE stream = :s", s=stream_of(name))


@finds("I4 S", "I7 S", "I6 P")
async def row_deleted(ground: Ground, name: str) -> None:
    await ground.sql("DELETE FROM comments WHERE stream = :s", s=stream_of(name))


@finds("I6 S", prepare=nothing)
async def row_without_events(ground: Ground, name: str) -> None:
    columns = "2, 1, 'c2', comment_id, picture_id, author, text, deleted, created_at, updated_at, correlation_id"
    await ground.sql(f"INSERT INTO comments SELECT :s, {columns} FROM comments WHERE stream = 'comment-healthy'", s=stream_of(name))


# PostgreSQL: positions.


@finds("I5 S")
async def position_ahead_of_the_store(ground: Ground, name: str) -> None:
    await ground.sql("UPDATE comments SET version = 5 WHERE stream = :s", s=stream_of(name))


@finds("I5 S")
async def position_inside_a_commit(ground: Ground, name: str) -> None:
    await ground.sql("UPDATE comments SET version = 2 WHERE stream = :s", s=stream_of(name))


@finds("I5 S")
async def position_of_another_commit(ground: Ground, name: str) -> None:
    await ground.sql("UPDATE comments SET commit_first = 3 WHERE stream = :s", s=stream_of(name))


@finds("I5 S")
async def position_of_another_command(ground: Ground, name: str) -> None:
    await ground.sql("UPDATE comments SET head_id = 'another' WHERE stream = :s", s=stream_of(name))


@finds("I4 S", prepare=nothing)
async def commit_never_projected(ground: Ground, name: str) -> None:
    await without_the_last(ground, name)


@finds("I5 S")
async def position_of_the_cache_ahead_of_the_store(ground: Ground, name: str) -> None:
    await ground.sql("UPDATE positions SET version = 6, commit_first = 6 WHERE projector = 'cache' AND stream = :s", s=stream_of(name))


@finds("I4 S", "I7 S", prepare=without_the_last)
async def position_of_the_cache_ahead_of_the_rows(ground: Ground, name: str) -> None:
    await ground.sql(
        "UPDATE positions SET version = 4, commit_first = 4, head_id = 'c4' WHERE projector = 'cache' AND stream = :s", s=stream_of(name)
    )


@finds("I4 S")
async def position_of_the_cache_behind_for_good(ground: Ground, name: str) -> None:
    await ground.sql("DELETE FROM positions WHERE projector = 'cache' AND stream = :s", s=stream_of(name))


@finds("I5 S", prepare=nothing)
async def position_without_events(ground: Ground, name: str) -> None:
    await ground.sql("INSERT INTO positions VALUES ('cache', :s, 1, 1, 'c1')", s=stream_of(name))


@finds("I5 S", prepare=written_today)
async def published_ahead_of_the_store(ground: Ground, name: str) -> None:
    await ground.sql("UPDATE headrace.published SET version = 3 WHERE stream = :s", s=stream_of(name))


@finds("I4 S", prepare=written_today)
async def never_published(ground: Ground, name: str) -> None:
    await ground.sql("DELETE FROM headrace.published WHERE stream = :s", s=stream_of(name))


# PostgreSQL: parks.


async def park(ground: Ground, name: str, reason: str, version: int) -> None:
    values = {"generation": 1, "projector": "comments", "stream": stream_of(name), "reason": reason, "detail": "for people"}
    versions = {column.name: version for column in PARKED.columns if column.name.endswith("_version")}
    async with ground.house.database.engine.begin() as connection:
        await connection.execute(insert(PARKED).values(**values, **versions))


@finds("I5 S", prepare=without_the_last)
async def parked_without_a_reason(ground: Ground, name: str) -> None:
    await park(ground, name, "", 4)


@finds("I5 S")
async def parked_and_gone_on(ground: Ground, name: str) -> None:
    await park(ground, name, "projection_failed", 2)


@finds("I5 S", prepare=first_commit_only)
async def parked_before_it_had_to_be(ground: Ground, name: str) -> None:
    """At version 4, and 2 and 3 were not applied."""
    await park(ground, name, "projection_failed", 4)


# PostgreSQL: sums.


@finds("I6 P")
async def count_off_by_one(ground: Ground, name: str) -> None:
    await ground.sql("UPDATE pictures SET comment_count = comment_count + 1 WHERE picture_id = :p", p=picture_of(name))


@finds("I6 P")
async def revision_wrong(ground: Ground, name: str) -> None:
    await ground.sql("UPDATE pictures SET revision = revision - 1 WHERE picture_id = :p", p=picture_of(name))


@finds("I6 P")
async def last_commented_at_wrong(ground: Ground, name: str) -> None:
    await ground.sql("UPDATE pictures SET last_commented_at = NULL WHERE picture_id = :p", p=picture_of(name))


@finds("I6 P", prepare=nothing)
async def picture_without_comments(ground: Ground, name: str) -> None:
    await ground.sql("INSERT INTO pictures VALUES (:p, 1, now(), 1)", p=picture_of(name))


@finds("I6 P")
async def picture_row_missing(ground: Ground, name: str) -> None:
    await ground.sql("DELETE FROM pictures WHERE picture_id = :p", p=picture_of(name))


# Redis.


async def recached(ground: Ground, name: str, which: int, change: Callable[[int, Any], tuple[int, Any]]) -> None:
    """The value of the comment (0), the picture (1) or its list (2), changed."""
    key = ground.keys(name)[which]
    version, view = await ground.loaded(key)
    await ground.cache(key, *change(version, msgspec.json.decode(msgspec.json.encode(view))))


@finds("I7 S")
async def cached_ahead(ground: Ground, name: str) -> None:
    await recached(ground, name, 0, lambda version, view: (version + 1, {**view, "version": version + 1}))


@finds("I7 P")
async def cached_picture_ahead(ground: Ground, name: str) -> None:
    await recached(ground, name, 1, lambda version, view: (version + 1, view))


@finds("I7 S")
async def cached_behind_for_good(ground: Ground, name: str) -> None:
    await recached(ground, name, 0, lambda _, view: (3, {**view, "version": 3, "text": "third"}))


@finds("I7 S")
async def cached_with_other_content(ground: Ground, name: str) -> None:
    await recached(ground, name, 0, lambda version, view: (version, {**view, "text": "not what was said"}))


@finds("I7 S")
async def tombstone_of_a_living_comment(ground: Ground, name: str) -> None:
    await recached(ground, name, 0, lambda version, _: (version, None))


@finds("I7 P")
async def cached_count_wrong(ground: Ground, name: str) -> None:
    await recached(ground, name, 1, lambda version, view: (version, {**view, "comment_count": 7}))


@finds("I7 P")
async def cached_list_lacks_a_comment(ground: Ground, name: str) -> None:
    await recached(ground, name, 2, lambda version, view: (version, {**view, "comments": []}))


@finds("I7 S", prepare=nothing)
async def cached_comment_that_never_was(ground: Ground, name: str) -> None:
    version, view = await ground.loaded(ground.keys("healthy")[0])
    await ground.cache(ground.keys(name)[0], version, view)


# Not differences.


@finds()
async def cached_value_unreadable(ground: Ground, name: str) -> None:
    """A miss by design: whoever reads it asks PostgreSQL."""
    await ground.house.client.set(ground.keys(name)[0], b"\xff not ours")


@finds(prepare=without_the_last)
async def parked_with_a_reason(ground: Ground, name: str) -> None:
    """Counted, and held to what was applied of it."""
    await park(ground, name, "projection_failed", 4)
