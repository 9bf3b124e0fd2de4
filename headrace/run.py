"""`headrace run ROLE`: one role in this process; what containers and `headrace up` run."""

from argparse import ArgumentParser, Namespace
from importlib import import_module
from typing import Final

from runtime.settings import load

MODULES: Final = {
    "gateway": "gateway.main",
    "commands": "workers.commands",
    "relay": "workers.relay",
    "projector-rds": "workers.projector_rds",
    "projector-cache": "workers.projector_cache",
    "projector-amqp": "workers.projector_amqp",
}


def arguments(parser: ArgumentParser) -> None:
    """The role's name."""
    parser.add_argument("role", choices=tuple(MODULES))


def main(arguments: Namespace) -> int:
    """Run the role's `main(settings)` until it ends by itself or by SIGTERM."""
    return int(import_module(MODULES[arguments.role]).main(load()) or 0)
