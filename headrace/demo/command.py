"""The order of the demo: a stack, a thousand commands, their outcomes, the drain, the proof, the summary."""

import asyncio
import json
import secrets
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from headrace.demo.run import Wanted, run
from headrace.demo.script import Sizes
from headrace.demo.summary import Result, say_summary
from headrace.errors import StackFailed, WrongUse
from headrace.local import state
from headrace.local.ports import gateway_port
from headrace.local.stack import Plan
from headrace.up import decide, supervise
from runtime.lifecycle import stop_on_signals

SEED: Final = 20


def arguments(parser: ArgumentParser) -> None:
    """Sizes, and where."""
    parser.add_argument("--aws", metavar="auto|localstack|ministack|URL", help="bring a stack of its own up on this AWS")
    parser.add_argument("--creates", type=int, default=Sizes().creates, help="comments to create (700)")
    parser.add_argument("--updates", type=int, default=Sizes().updates, help="edits among them (200)")
    parser.add_argument("--deletes", type=int, default=Sizes().deletes, help="deletions among them (100)")
    parser.add_argument("--in-flight", type=int, default=64, metavar="N", help="posts under way at once (64)")
    parser.add_argument("--seed", type=int, default=SEED, help="of the script: the same seed posts the same texts")


def main(arguments: Namespace) -> int:
    """Exit 0 when all held, 1 with what differs."""
    wanted = _wanted(arguments)
    folder = state.folder_of(arguments.state)
    if arguments.aws is None and state.live(folder) is not None:
        return asyncio.run(_on_live(folder, wanted))
    # A stack that is up in this folder is somebody's: ours then lies beside it.
    own = folder / "demo" if state.is_live(folder) else folder
    _say(f"a stack of the demo's own in {own}")
    with state.owned(own):
        return asyncio.run(_on_own(own, arguments.aws or "auto", wanted))


def _wanted(arguments: Namespace) -> Wanted:
    sizes = Sizes(arguments.creates, arguments.updates, arguments.deletes)
    if sizes.creates < 1 or sizes.updates < 0 or not 0 <= sizes.deletes <= sizes.creates:
        raise WrongUse("--creates must be at least 1, --updates 0, and --deletes between 0 and --creates")
    if not 1 <= arguments.in_flight <= 4096:
        raise WrongUse("--in-flight must be between 1 and 4096")
    return Wanted(sizes, arguments.in_flight, arguments.seed, secrets.token_hex(4))


async def _on_live(folder: Path, wanted: Wanted) -> int:
    return _judge(await run(folder, wanted))


async def _on_own(folder: Path, aws: str, wanted: Wanted) -> int:
    """Bring it up, run, take it down; Ctrl-C at any moment takes it down too."""
    plan = Plan(folder, await decide(aws, folder), gateway_port(0))
    results: list[Result] = []
    async with stop_on_signals() as stop:
        await supervise(plan, _say, stop, _once(folder, wanted, results, stop))
    if not results:
        raise StackFailed("interrupted before the end")
    return _judge(results[0])


def _once(folder: Path, wanted: Wanted, results: list[Result], stop: asyncio.Event) -> Callable[[], "asyncio.Future[None]"]:
    async def ready() -> None:
        running = asyncio.ensure_future(run(folder, wanted))
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                results.append(running.result())
        finally:
            running.cancel()
            stopping.cancel()
            await asyncio.gather(running, stopping, return_exceptions=True)
            stop.set()

    return lambda: asyncio.ensure_future(ready())


def _judge(result: Result) -> int:
    say_summary(result, _say)
    print(json.dumps(msgspec.to_builtins(result.report), ensure_ascii=False), flush=True)
    return 1 if result.faults else 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
