"""What `--json` writes: every turn as it was measured, and the figures made of them."""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from loadtest.bench.ceilings import Ceiling
from loadtest.bench.nearness import Near
from loadtest.bench.ours import NAME
from loadtest.bench.statistics import Figure, Spread, over, ratio
from loadtest.bench.turns import Sizes, Turn

FIGURES: Final[Mapping[str, Figure]] = {
    "per_s": lambda turn: turn.per_s,
    "cpu_ms": lambda turn: turn.cpu_ms,
    "requests": lambda turn: turn.requests,
    "burst_p50_ms": lambda turn: turn.burst_p50_ms,
    "burst_p99_ms": lambda turn: turn.burst_p99_ms,
    "paced_p50_ms": lambda turn: turn.paced_p50_ms,
    "paced_p99_ms": lambda turn: turn.paced_p99_ms,
    "servers_ms": lambda turn: sum(turn.servers_ms.values()),
    "client_ms": lambda turn: turn.client_ms,
}
_APPENDS: Final = ("dynamodb.TransactWriteItems", "dynamodb.PutItem", "dynamodb.BatchExecuteStatement")
_PARTIQL: Final = 25
RATIOS: Final = ("per_s", "cpu_ms", "requests", "paced_p50_ms", "paced_p99_ms")


def with_partiql(turn: Turn) -> float:
    """Requests per 1,000 commands had each commit been one of 25 statements a call, as on AWS; here every command is a commit."""
    return turn.requests - sum(turn.calls.get(call, 0.0) for call in _APPENDS) + 1000 / _PARTIQL


class Standing(Struct, frozen=True):
    """One subject. `ratios`: its figure over Headrace's, round by round, where it can be had. `fault`: why it could not run."""

    name: str
    guarantees: Mapping[str, str]
    turns: Sequence[Turn]
    figures: dict[str, Spread]
    ratios: dict[str, Spread]
    fault: str | None = None


class Report(Struct, frozen=True):
    """The whole run."""

    backend: str
    versions: dict[str, str]
    machine: dict[str, str]
    sizes: Sizes
    rounds: int
    subjects: list[Standing]
    ceilings: dict[str, Ceiling]
    near: list[Near]


def standing(name: str, guarantees: Mapping[str, str], turns: Mapping[str, Sequence[Turn]], fault: str | None) -> Standing:
    """`turns`: of all subjects, since Headrace's are what the ratios are held against."""
    own, headrace = turns[name], turns.get(NAME, ())
    figures = {key: over(own, figure) for key, figure in FIGURES.items()} if own else {}
    ratios = {key: found for key in RATIOS if name != NAME and (found := ratio(own, headrace, FIGURES[key])) is not None}
    return Standing(name, guarantees, own, figures, ratios, fault)
