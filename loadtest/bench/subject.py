"""What takes part: something that is brought up, does jobs, is watched from outside, and is taken down."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msgspec import Struct

from headrace.metering import Reading
from loadtest.bench.job import Job

GUARANTEES = (
    "durable before ack",
    "one effect per command",
    "order per entity",
    "history and replay",
    "read model apart",
    "read your write",
)


class Done(Struct, frozen=True):
    """A job that is visible to the last comment. `submitted` and `visible`: seconds since 1970, by comment id."""

    submitted: dict[str, float]
    visible: dict[str, float]


class Live(Protocol):
    """A subject that is up."""

    def pids(self) -> Mapping[str, Sequence[int]]:
        """By part: the processes whose CPU is the subject's."""

    async def meters(self) -> Reading | None:
        """Its own counters of what it asks of AWS; None when it has none."""

    async def work(self, job: Job) -> Done:
        """Do the job; returns when all of it is visible. Raises StackFailed when it does not come to that."""


class Subject(Protocol):
    """Who takes part in the rounds."""

    name: str
    in_flight: int
    """Commands under way at once in a burst: what serves it best."""
    guarantees: Mapping[str, str]
    """One short answer for each of GUARANTEES."""

    def up(self) -> AbstractAsyncContextManager[Live]:
        """Bring it up; it may not be ready for work before its first job is done."""
