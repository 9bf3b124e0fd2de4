"""What every subject is given to do: so many comments of 200 characters, each a stream of its own."""

from typing import Final

from msgspec import Struct

TEXT: Final = ("The light on the water is what makes this one, and the mill behind it hardly matters. " * 3)[:200]
PICTURES: Final = 20


class Job(Struct, frozen=True):
    """`rate`: commands a second, by the clock; 0 is as fast as it goes with `in_flight` at once. `prefix` is this job's own."""

    prefix: str
    count: int
    in_flight: int
    rate: float = 0.0
    text: str = TEXT


def comment_id(job: Job, number: int) -> str:
    """Sorts within the job, and jobs apart."""
    return f"{job.prefix}-{number:06}"


def picture_id(number: int) -> str:
    """The comments go round a few pictures."""
    return f"picture-{number % PICTURES:02}"


def bounds(job: Job) -> tuple[str, str]:
    """All comment ids of the job are at or above the first and below the second, byte by byte."""
    return f"{job.prefix}-", f"{job.prefix}."
