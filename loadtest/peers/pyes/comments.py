"""The aggregate and the application."""

import os
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import IntegrityError

PARTS = urlsplit(os.environ["PEER_DATABASE_URL"])
THREADS = int(os.environ.get("PEER_THREADS", "8"))
ENVIRONMENT = {
    "PERSISTENCE_MODULE": "eventsourcing.postgres",
    "POSTGRES_DBNAME": PARTS.path[1:],
    "POSTGRES_HOST": PARTS.hostname or "",
    "POSTGRES_PORT": str(PARTS.port),
    "POSTGRES_USER": PARTS.username or "",
    "POSTGRES_PASSWORD": PARTS.password or "none",
    "POSTGRES_POOL_SIZE": str(THREADS),  # page "persistence", PostgreSQL module: one connection a thread
    "POSTGRES_MAX_OVERFLOW": "4",
    "POSTGRES_SINGLE_ROW_TRACKING": "y",
    "CREATE_TABLE": "n",  # the setup's alone: two programs at once collide over the functions
}


class Comment(Aggregate):
    @event("Created")
    def __init__(self, comment_id: str, picture_id: str, author: str, text: str, submitted_at: float) -> None:
        self.comment_id, self.picture_id, self.author, self.text = comment_id, picture_id, author, text
        self.submitted_at = submitted_at

    @staticmethod
    def create_id(comment_id: str) -> UUID:
        return uuid5(NAMESPACE_URL, f"/comments/{comment_id}")


class Comments(Application):
    def create(self, comment_id: str, picture_id: str, author: str, text: str, submitted_at: float) -> None:
        """A repeat of the same creation is refused by the key of its first event, and has nothing more to do."""
        try:
            self.save(Comment(comment_id, picture_id, author, text, submitted_at))
        except IntegrityError:
            return
