"""The statements that processes send to PostgreSQL, seen by their engines."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import event

from readmodel.database import Database


@contextmanager
def counted(*databases: Database) -> Iterator[list[str]]:
    """The statements that these engines send."""
    statements: list[str] = []

    def sent(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    for database in databases:
        event.listen(database.engine.sync_engine, "before_cursor_execute", sent)
    try:
        yield statements
    finally:
        for database in databases:
            event.remove(database.engine.sync_engine, "before_cursor_execute", sent)
