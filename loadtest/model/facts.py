"""What goes into the model, as data: what was measured, and what AWS allows. Each fact says where it is from."""

from importlib.resources import files
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from headrace.errors import WrongUse

ROLES: Final = ("gateway", "commands", "relay", "projector-rds", "projector-cache")


class Cost(Struct, frozen=True):
    """CPU of a role: ms of each of these calls and of what goes with it, and ms of each command in it."""

    call: str
    ms_a_call: float
    ms_a_command: float

    def ms(self, calls: float, commands: float) -> float:
        """Of so many."""
        return calls * self.ms_a_call + commands * self.ms_a_command


class Bytes(Struct, frozen=True):
    """Of one command of 200 characters: in a parcel of commands, in a parcel of commits, as an item of the event store."""

    envelope: int
    commit: int
    item: int


class Measured(Struct, frozen=True, rename={"source": "from"}):
    """Costs on the machine of the date."""

    source: str
    date: str
    roles: dict[str, Cost]
    bytes: Bytes
    events_a_second_of_a_projector: float


class Quota(Struct, frozen=True):
    """What AWS allows. `moved_by`: what changes it, in words."""

    value: float
    unit: str
    source: str
    kind: str
    moved_by: str


class Quotas(Struct, frozen=True):
    """Of one region, as of a day."""

    date: str
    region: str
    quotas: dict[str, Quota]


def load_measured(path: Path | None = None) -> Measured:
    """The file's, or our own. Raises WrongUse."""
    try:
        raw = path.read_bytes() if path else files("loadtest.model").joinpath("measured.json").read_bytes()
        found = msgspec.json.decode(raw, type=Measured)
    except (OSError, msgspec.MsgspecError) as wrong:
        raise WrongUse(f"--measured {path}: {wrong}") from wrong
    if missing := set(ROLES) - found.roles.keys():
        raise WrongUse(f"--measured {path}: no {', '.join(sorted(missing))}")
    return found


def load_quotas() -> Quotas:
    """Our own."""
    return msgspec.json.decode(files("loadtest.model").joinpath("quotas.json").read_bytes(), type=Quotas)
