"""`headrace up`: the whole stack on this machine, until Ctrl-C or `headrace down`."""

import asyncio
import contextlib
import os
import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

from headrace.announcer import Announcer
from headrace.detached import run_detached
from headrace.errors import StackFailed, WrongUse
from headrace.local import backends, localstack, state
from headrace.local.backends import Choice
from headrace.local.keeper import MOST_SECONDS
from headrace.local.ports import gateway_port
from headrace.local.roles import own_roles, scale_of
from headrace.local.stack import Plan, Supervisor
from headrace.status import print_status
from runtime.errors import Fatal
from runtime.lifecycle import stop_on_signals

MOST_PUT_OFF: Final = 600.0


def arguments(parser: ArgumentParser) -> None:
    """Which AWS, which port, and how to stay."""
    parser.add_argument("--aws", default="auto", metavar="auto|localstack|ministack|URL", help="the AWS it runs on")
    parser.add_argument("--port", type=int, help="the gateway's (default 8080, a free one if taken; 0: any free one)")
    parser.add_argument("--detach", action="store_true", help="return once it is ready; `headrace down` ends it")
    parser.add_argument("--no-restart", action="store_true", help="a role that dies stays away")
    parser.add_argument("--scale", default="", metavar="ROLE=N,...", help="several processes of a role: relay=2,projector-rds=2")
    parser.add_argument(
        "--put-off", type=float, default=MOST_SECONDS, metavar="S", help="a role that dies often is back within S seconds (10)"
    )
    parser.add_argument("--json", action="store_true", help="once ready, the status as one object on stdout")
    parser.add_argument("--announce", type=int, help="a file descriptor that also gets every line until ready")


def main(arguments: Namespace) -> int:
    """Exit 0 after a drain, 1 when the stack failed, 2 on wrong use."""
    folder = state.folder_of(arguments.state)
    own_roles(scale=scale_of(arguments.scale))
    if not 0 < arguments.put_off <= MOST_PUT_OFF:
        raise WrongUse(f"--put-off must be above 0 and at most {MOST_PUT_OFF:g} seconds")
    if arguments.detach:
        return asyncio.run(run_detached(arguments, folder))
    say = Announcer(sys.stderr if arguments.json else sys.stdout, arguments.announce)
    with contextlib.closing(say), state.owned(folder):
        port = gateway_port(arguments.port)
        return asyncio.run(_up(arguments, folder, port, say))


async def _up(arguments: Namespace, folder: Path, port: int, say: Announcer) -> int:
    _empty_logs(folder)
    choice = await decide(arguments.aws, folder)
    roles = own_roles(scale=scale_of(arguments.scale))
    plan = Plan(folder, choice, port, restart=not arguments.no_restart, put_off=arguments.put_off, roles=roles)
    say(f"state {folder}, logs in {folder / 'logs'}")
    async with stop_on_signals() as stop:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, stop.set)  # the terminal was closed

        async def ready() -> None:
            say(f"ready: http://127.0.0.1:{port}  (Ctrl-C or `headrace down` ends it)")
            say.close()
            if arguments.json:
                await print_status(folder)

        await supervise(plan, say, stop, ready)
    say("down: no process is left")
    return 0


async def supervise(plan: Plan, say: Callable[[str], None], stop: asyncio.Event, ready: Callable[[], Awaitable[None]]) -> None:
    """Run the plan to its end. Raises StackFailed or WrongUse, one error for all that went wrong."""
    faults: list[Fatal] = []
    try:
        await Supervisor(plan, say).run(stop, ready)
    except* Fatal as group:
        faults = list(_leaves(group))
    if faults:
        kind = WrongUse if all(isinstance(fault, WrongUse) for fault in faults) else StackFailed
        raise kind("; ".join(dict.fromkeys(str(fault) for fault in faults)))


async def decide(asked: str, folder: Path) -> Choice:
    """What this stack's AWS is. Asks what LocalStack needs only when it may come to that."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    may_be = asked == "localstack" or (asked == "auto" and not endpoint)
    return backends.choose(asked, endpoint, await localstack.missing(folder) if may_be else ())


def _empty_logs(folder: Path) -> None:
    """The logs are this stack's; `up.log` is already being written to."""
    for log in (folder / "logs").glob("*.log"):
        if log.name != "up.log":
            log.unlink()


def _leaves(group: BaseExceptionGroup[Fatal]) -> Iterator[Fatal]:
    for each in group.exceptions:
        if isinstance(each, BaseExceptionGroup):
            yield from _leaves(each)
        else:
            yield each
