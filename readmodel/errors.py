"""What can go wrong on the read side, on the three bases of `runtime.errors`."""

from runtime.errors import Fatal, Rejected, Retryable


class DatabaseUnavailable(Retryable):
    """PostgreSQL did not answer in time, or had an error of its own."""


class DatabaseConflict(DatabaseUnavailable):
    """A deadlock or serialization failure: the same transaction may succeed at once."""


class OtherTables(DatabaseUnavailable):
    """A generation's tables are not those this code was written for; a process of other code may fit."""


class UnstorableData(Fatal):
    """PostgreSQL will never take this data (SQLSTATE classes 22 and 23, and 54000: a key that no index takes)."""


class StillMoving(Retryable):
    """A parked stream gets new commits faster than they are applied; it is still parked, further on than before."""


class NoSchema(Fatal):
    """The schema is not there, or not the one this code was written for."""


class CacheUnavailable(Retryable):
    """Redis did not answer in time."""


class ReadsUnavailable(Retryable):
    """No tier could answer this query now."""


class NotYet(Retryable):
    """The read model has not reached the token in the time given."""


class StreamParked(Retryable):
    """The token's stream is parked: its view stands still until it is redriven."""


class TokenBeyondStore(Rejected):
    """The token promises a version that its stream does not have."""

    def __init__(self, stream: str) -> None:
        super().__init__("token_beyond_store", f"{stream} has no such version")
