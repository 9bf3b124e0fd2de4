"""A second projection of the comments domain: how many comments each author has, and when they last wrote one.

It has no home table: it writes only deltas, and how far each stream was applied is kept in `positions`. How to run it, fill it from
history and query it: docs/domains.md.
"""

from dataclasses import replace

from sqlalchemy import BigInteger, Column, DateTime, MetaData, Table, Text

from events.comments.events import CommentCreated, CommentDeleted
from readmodel.comments.domain import DOMAIN as COMMENTS
from readmodel.projection import NOTHING, Changes, Delta, Happened, Projection, Row
from runtime.times import to_datetime

AUTHORS = Table(
    "comments_per_author",
    MetaData(),
    Column("author", Text(collation="C"), primary_key=True),
    Column("comments", BigInteger, nullable=False, server_default="0"),
    Column("last_written_at", DateTime(timezone=True)),
)


def project(row: Row | None, happened: Happened) -> Changes:  # noqa: ARG001 - without a home table there is no row
    match happened.event:
        case CommentCreated(author=author):
            written = {"last_written_at": to_datetime(happened.at)}
            return Changes(deltas=(Delta(AUTHORS, author, add={"comments": 1}, highest=written),))
        case CommentDeleted():  # only the author deletes, so the actor is the author
            return Changes(deltas=(Delta(AUTHORS, happened.actor, add={"comments": -1}),))
    return NOTHING


PROJECTION = Projection("comments_per_author", (AUTHORS,), project)
DOMAIN = replace(COMMENTS, projections=(*COMMENTS.projections, PROJECTION))
