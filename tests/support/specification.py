"""Given a history, when a command, then these events: an aggregate's rules as sentences."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import pytest
from msgspec import Struct

from events.domain import Context, Decider, Rejection
from runtime.times import Micros

NOW = Micros(1_700_000_000_000_000)


@dataclass(frozen=True)
class When:
    decide: Callable[[], list[Struct]]

    def then(self, *expected: Struct) -> None:
        assert self.decide() == list(expected)

    def refused(self, reason: str) -> None:
        with pytest.raises(Rejection) as no:
            self.decide()
        assert (no.value.reason, bool(no.value.detail)) == (reason, True)


@dataclass(frozen=True)
class Given:
    decider: Decider
    state: Any

    def when(self, command: Struct, actor: str = "ann") -> When:
        return When(lambda: list(self.decider.decide(command, self.state, Context(actor, NOW))))


def specification(decider: Decider) -> Callable[..., Given]:
    """`given = specification(DECIDER)`, then `given(event, ...).when(command).then(event, ...)`."""

    def given(*events: Struct) -> Given:
        return Given(decider, reduce(lambda state, event: decider.evolve(state, event, NOW), events, decider.initial))

    return given
