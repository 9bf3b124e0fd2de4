"""The roles of a stack: which processes there are, in the order in which they drain."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from headrace.local.ports import HOST
from headrace.local.program import Program

ROLES: Final = ("gateway", "commands", "relay", "projector-rds", "projector-cache")


@dataclass(frozen=True, slots=True)
class RoleSpec:
    """A role by name and the command line that runs it; it listens where HEADRACE_BIND says."""

    name: str
    argv: tuple[str, ...]


def own_roles() -> tuple[RoleSpec, ...]:
    """The five roles, each `headrace run ROLE` in the Python that runs us."""
    return tuple(RoleSpec(name, our_command("run", name)) for name in ROLES)


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
