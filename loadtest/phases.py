"""What the orchestrator and its generators say to each other: JSON lines on a generator's stdin and stdout."""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from loadtest.script import Shape

VOID_SHARE: Final = 0.01
"""A run in which the generator itself was late with more of its posts measured the generator."""


class Plan(Struct, frozen=True):
    """A generator's first line: who it is and what it makes."""

    host: str
    port: int
    run: str
    """Of all generators together; begins every key and every comment's id."""
    worker: int
    shape: Shape
    seed: int
    via: str = "http"
    amqp_url: str = ""
    """With `via` amqp."""
    connections: int = 1024
    sampled: int = 50
    """One command in so many is waited for and read back."""
    journal: str = ""
    """File that gets the states and targets of all its commands at the end."""


class Phase(Struct, frozen=True):
    """A further line: so many requests a second for so long. `rate` 0: as fast as `in_flight` answers allow."""

    rate: float
    seconds: float
    in_flight: int = 0
    settle: float = 60.0
    """Seconds that answers may still take afterwards."""


class Tick(Struct, frozen=True):
    """What a generator tells every quarter of a second. Counts since the last one; latencies in microseconds, encoded histograms."""

    at: float
    """Unix time."""
    posted: int
    accepted: int
    refused: int
    in_flight: int
    latency: str


class Done(Struct):
    """What a phase came to. Latencies from the intended start."""

    first: int
    """Number of its first command."""
    last: int
    """Number after its last command."""
    began: float
    """Unix time."""
    ended: float
    """Unix time of the last intended start."""
    last_accepted: float = 0.0
    posted: int = 0
    accepted: int = 0
    refused: int = 0
    reads: int = 0
    repeats: int = 0
    late: int = 0
    """Requests that left more than 50 ms after they were due, by the generator's own fault."""
    due: int = 0
    cpu_ms: float = 0.0
    """This process's own."""
    unanswered: int = 0
    """Commands without any answer when the phase ended."""
    errors: dict[str, int] = msgspec.field(default_factory=dict)
    faults: list[str] = msgspec.field(default_factory=list)
    """Reads that answered with less than the token they were held to (I8), and answers that were none."""
    latency: dict[str, str] = msgspec.field(default_factory=dict)
    """`accepted`, `applied`, `visible`, `read`: encoded histograms of microseconds."""


def late_share(*phases: Sequence[Done]) -> float:
    """Of the requests that were due, those that left late by the generator's own fault."""
    done = [each for phase in phases for each in phase]
    return sum(each.late for each in done) / max(1, sum(each.due for each in done))


class Said(Struct, frozen=True):
    """A generator's line holds one of these."""

    ready: bool = False
    tick: Tick | None = None
    done: Done | None = None


SAID: Final = msgspec.json.Decoder(Said)
