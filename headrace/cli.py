"""The command line's table: which module carries out which command. Read it to find your way."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Final, NoReturn

from headrace.errors import StackFailed, WrongUse
from headrace.local.environment import merged
from headrace.local.state import environment, folder_of
from runtime.errors import ConfigurationError, HeadraceError

DONE, FAILED, WRONG = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Command:
    """`module` has `arguments(parser) -> None` and `main(arguments) -> int`, the exit code. It is imported when named.

    `finds`: what the environment does not say about addresses, the state folder's live stack does.
    """

    module: str
    does: str
    finds: bool = True


COMMANDS: Final = {
    "up": Command("headrace.up", "bring the whole stack up on this machine, until Ctrl-C", finds=False),
    "down": Command("headrace.down", "end the stack of the state folder"),
    "status": Command("headrace.status", "each part, queue depths, lag, parked streams"),
    "run": Command("headrace.run", "run one role"),
    "provision": Command("headrace.provision", "create or update queues, tables and schema"),
    "demo": Command("headrace.demo.command", "a thousand real commands through every hop, checked"),
    "costs": Command("headrace.costs.command", "what AWS bills for it, by service and role, beside the floor"),
    "load": Command("loadtest.command", "load at a rate or at the most it takes; ends with the audit"),
    "bench": Command("loadtest.bench.command", "side by side with what people would pick instead, interleaved", finds=False),
    "rebuild": Command("headrace.rebuild.command", "a new generation of the views or the cache, live, then the switch"),
    "history": Command("headrace.history", "a stream's events"),
    "dlq": Command("headrace.dead.command", "what could not be handled: list it, or send it where it belongs"),
    "parked": Command("headrace.parked.command", "streams that a projection cannot go on with: list, redrive, discard"),
    "reconcile": Command("headrace.reconcile", "the full walk: what a projector never got is published again"),
    "audit": Command("headrace.audit.command", "compare what is stored with what must hold"),
}


class _Parser(argparse.ArgumentParser):
    """argparse, but wrong use is one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG, f"{self.prog}: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command; its exit code: 0 done, 1 a check failed, 2 wrong use or configuration."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words:
        print(f"headrace: name a command: {', '.join(COMMANDS)} (headrace --help says what they do)", file=sys.stderr)
        return WRONG
    if words[0] in {"-h", "--help"}:
        print(_help())
        return DONE
    name, *rest = words
    command = COMMANDS.get(name)
    if command is None:
        print(f"headrace: no command {name!r}; there are {', '.join(COMMANDS)}", file=sys.stderr)
        return WRONG
    return _told(name, lambda: _carry_out(name, command, rest))


def _told(name: str, work: Callable[[], int]) -> int:
    """The work's exit code; what went wrong as one line."""
    try:
        return work()
    except (WrongUse, ConfigurationError) as wrong:
        print(f"headrace {name}: {wrong}", file=sys.stderr)
        return WRONG
    except HeadraceError as failed:
        what = f"{failed}" if isinstance(failed, StackFailed) else f"{type(failed).__name__}: {failed}"
        print(f"headrace {name}: {what}", file=sys.stderr)
        return FAILED
    except ExceptionGroup as several:  # of tasks side by side
        told, bugs = several.split(HeadraceError)
        if bugs is not None or told is None:
            raise
        print(f"headrace {name}: {'; '.join(dict.fromkeys(f'{type(each).__name__}: {each}' for each in _leaves(told)))}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return 130


def _leaves(group: ExceptionGroup[HeadraceError]) -> Iterator[HeadraceError]:
    for each in group.exceptions:
        if isinstance(each, ExceptionGroup):
            yield from _leaves(each)
        else:
            yield each


def _carry_out(name: str, command: Command, rest: Sequence[str]) -> int:
    module = import_module(command.module)
    parser = _Parser(prog=f"headrace {name}", description=command.does)
    parser.add_argument("--state", metavar="DIR", help="the stack's folder (default: HEADRACE_STATE, else .headrace)")
    module.arguments(parser)
    arguments = parser.parse_args(rest)
    if command.finds:
        state = folder_of(arguments.state)
        found = merged(os.environ, environment(state))
        os.environ.clear()
        os.environ.update(found)
    return int(module.main(arguments))


def _help() -> str:
    lines = [f"  {name:<10} {command.does}" for name, command in COMMANDS.items()]
    return "\n".join(["usage: headrace COMMAND [--help]", "", *lines])
