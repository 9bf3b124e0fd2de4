"""The roles of a stack: which processes there are, in the order in which they drain."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from headrace.errors import WrongUse
from headrace.local.ports import HOST
from headrace.local.program import Program

AMQP: Final = "projector-amqp"
ROLES: Final = ("gateway", "commands", "relay", "projector-rds", "projector-cache", AMQP)
"""The last one only with RabbitMQ."""
MOST: Final = 32
"""Processes of one role."""


@dataclass(frozen=True, slots=True)
class RoleSpec:
    """One process of a role: its name and the command line that runs it; it listens where HEADRACE_BIND says.

    `role`: where it has several processes, which then have names of their own; else the name is the role's.
    """

    name: str
    argv: tuple[str, ...]
    role: str = ""


def own_roles(caller: Mapping[str, str] | None = None, scale: Mapping[str, int] | None = None) -> tuple[RoleSpec, ...]:
    """The processes that this environment asks for, each `headrace run ROLE` in the Python that runs us.

    `scale`: how many of a role, by role; one of each that is not named. Several are `ROLE-1`, `ROLE-2`, … Raises WrongUse.
    """
    with_amqp = bool((os.environ if caller is None else caller).get("HEADRACE_AMQP_URL"))
    counts = {role: (scale or {}).get(role, 1) for role in ROLES if with_amqp or role != AMQP}
    if scale and (unknown := scale.keys() - counts.keys()):
        raise WrongUse(f"--scale: no role {', '.join(sorted(unknown))} here; there are {', '.join(counts)}")
    return tuple(RoleSpec(name, our_command("run", role), role) for role, count in counts.items() for name in _names(role, count))


def scale_of(text: str) -> dict[str, int]:
    """`relay=2,projector-rds=2` by role. Raises WrongUse."""
    found: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        role, _, count = part.partition("=")
        if not (count.isascii() and count.isdigit() and 1 <= int(count) <= MOST):
            raise WrongUse(f"--scale: {part!r} is not ROLE=N with N from 1 to {MOST}")
        found[role.strip()] = int(count)
    return found


def _names(role: str, count: int) -> tuple[str, ...]:
    return (role,) if count == 1 else tuple(f"{role}-{number}" for number in range(1, count + 1))


def our_command(*words: str) -> tuple[str, ...]:
    """A command line of ours, for a process of its own."""
    return (sys.executable, "-m", "headrace", *words)


def role_program(spec: RoleSpec, port: int, environment: Mapping[str, str], log: Path) -> Program:
    """It as a program on that port."""
    url = f"http://{HOST}:{port}"
    return Program(
        name=spec.name,
        role=spec.role or spec.name,
        argv=spec.argv,
        url=url,
        probe=f"{url}/readyz",
        log=log,
        folder=Path.cwd(),
        environment={**environment, "HEADRACE_BIND": f"{HOST}:{port}"},
    )
