"""The roles of a stack: which processes there are, in the order in which they drain."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from headrace.local.ports import HOST
from headrace.local.program import Program

AMQP: Final = "projector-amqp"
ROLES: Final = ("gateway", "commands", "relay", "projector-rds", "projector-cache", AMQP)
"""The last one only with RabbitMQ."""


@dataclass(frozen=True, slots=True)
class RoleSpec:
    """A role by name and the command line that runs it; it listens where HEADRACE_BIND says."""

    name: str
    argv: tuple[str, ...]


def own_roles(caller: Mapping[str, str] | None = None) -> tuple[RoleSpec, ...]:
    """The roles that this environment asks for, each `headrace run ROLE` in the Python that runs us."""
    with_amqp = bool((os.environ if caller is None else caller).get("HEADRACE_AMQP_URL"))
    return tuple(RoleSpec(name, our_command("run", name)) for name in ROLES if with_amqp or name != AMQP)


def our_command(*words: str) -> tuple[str, ...]:
    """A command line of ours, for a process of its own."""
    return (sys.executable, "-m", "headrace", *words)


def role_program(spec: RoleSpec, port: int, environment: Mapping[str, str], log: Path) -> Program:
    """The role as a program on that port."""
    url = f"http://{HOST}:{port}"
    return Program(
        name=spec.name,
        role=spec.name,
        argv=spec.argv,
        url=url,
        probe=f"{url}/readyz",
        log=log,
        folder=Path.cwd(),
        environment={**environment, "HEADRACE_BIND": f"{HOST}:{port}"},
    )
