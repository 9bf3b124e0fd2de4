"""The materialised view: a row and the tracking record, in one transaction."""

from typing import Any

from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection
from psycopg.sql import SQL
from pyes.comments import Comment

TABLE = (
    "CREATE TABLE IF NOT EXISTS public.comments (comment_id text PRIMARY KEY, picture_id text NOT NULL, author text NOT NULL,"
    " text text NOT NULL, version bigint NOT NULL, created_at float8 NOT NULL)"
)
INSERT = SQL("INSERT INTO public.comments VALUES (%s, %s, %s, %s, %s, %s)")


class CommentsView(PostgresTrackingRecorder):
    def __init__(self, datastore: Any, **kwargs: Any) -> None:
        super().__init__(datastore, **kwargs)
        self.sql_create_statements.append(SQL(TABLE))

    def add(self, created: Any, tracking: Tracking) -> None:
        row = (created.comment_id, created.picture_id, created.author, created.text, created.originator_version, created.submitted_at)
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(INSERT, row, prepare=True)


class CommentsProjection(Projection[CommentsView]):
    name = "comments_view"

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        if isinstance(domain_event, Comment.Created):
            self.view.add(domain_event, tracking)
        else:
            self.view.insert_tracking(tracking)
