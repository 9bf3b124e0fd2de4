"""`headrace run gateway`: the process from its settings to its exit code."""

import asyncio
import sys
from typing import Final

import uvloop

from gateway.bounds import Bounds
from gateway.opening import open_gateway
from gateway.server import possible_connections, serving
from runtime import logs, memory
from runtime.errors import ConfigurationError, HeadraceError
from runtime.lifecycle import stop_on_signals
from runtime.settings import Settings, require
from runtime.watchdog import watched

DONE, FAILED, WRONG = 0, 1, 2
DRAIN_SECONDS: Final = 5
"""After the answers under way: only commands whose callers are gone can be left."""
_LOG: Final = logs.get("gateway")


def main(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; 0 after a drain, 1 when it broke, 2 when it was told something wrong."""
    logs.configure(settings.log, "gateway")
    try:
        require(settings, "database_url", "redis_url")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_stopped(settings))
    except Exception as broken:  # noqa: BLE001 - the process ends here, with a word about why
        return _end(_first(broken))
    return DONE


async def _until_stopped(settings: Settings) -> None:
    async with watched(), stop_on_signals() as stop, open_gateway(settings) as gateway:
        async with serving(
            gateway.app,
            settings.bind_address(),
            gateway.stopping,
            Bounds(possible_connections()),
        ) as port:
            memory.settle()
            _LOG.info("listening", action="start", port=port)
            await memory.trimming(stop)
            await stop.wait()
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await gateway.drained()
        except TimeoutError:
            _LOG.error("commands nobody was told of are left behind", action="stop")
    _LOG.info("drained", action="stop")


def _end(broken: BaseException) -> int:
    if isinstance(broken, ConfigurationError):
        print(f"headrace run gateway: {broken}", file=sys.stderr)  # noqa: T201 - the one line the operator sees
        return WRONG
    if isinstance(broken, HeadraceError | OSError):
        _LOG.error("role ended", action="end", error=f"{type(broken).__name__}: {broken}")
    else:
        _LOG.error("role ended", action="end", exc_info=broken)
    return FAILED


def _first(broken: BaseException) -> BaseException:
    """What began it: task groups wrap it up."""
    while isinstance(broken, BaseExceptionGroup):
        broken = broken.exceptions[0]
    return broken
