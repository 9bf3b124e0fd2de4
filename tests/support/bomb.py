"""A domain whose command kills its worker, for as long as the file that HEADRACE_TEST_FUSE names is there."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from events.domain import CommandType, Context, Decider, Domain
from runtime.times import Micros

FUSE: Final = "HEADRACE_TEST_FUSE"


class Lit(Struct, frozen=True):
    how: str


class Light(Struct, frozen=True, forbid_unknown_fields=True):
    """`how`: exit, hang, or calm."""

    bomb_id: str
    how: str = "calm"


def decide(command: Light, state: Any, context: Context) -> Sequence[Lit]:
    if command.how != "calm" and Path(os.environ[FUSE]).exists():
        if command.how == "exit":
            os._exit(1)
        time.sleep(3600)
    return [Lit(command.how)]


def evolve(state: int | None, event: Lit, at: Micros) -> int:
    return (state or 0) + 1


DOMAIN: Final = Domain(
    type="bomb",
    commands={"bomb.light": CommandType(Light, lambda command: command.bomb_id)},
    events={"bomb.lit.v1": Lit},
    decider=Decider(initial=None, decide=decide, evolve=evolve),
)
