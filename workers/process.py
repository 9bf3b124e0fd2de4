"""What every worker process does around its one loop: settings, logs, health, signals, exit code."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final

import uvloop

from runtime import logs, memory
from runtime.errors import ConfigurationError, HeadraceError
from runtime.health import Check, health_app, serving
from runtime.lifecycle import stop_on_signals
from runtime.settings import Settings
from runtime.watchdog import watched

DONE, FAILED, WRONG = 0, 1, 2
Serve = Callable[[Settings, asyncio.Event, "Ready"], Awaitable[None]]
_LOG: Final = logs.get("process")


class Ready:
    """Handed to a role: it opens its health port, with its checks, once everything it stands on is open."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def listening(self, checks: Mapping[str, Check]) -> AbstractAsyncContextManager[None]:
        memory.settle()
        return serving(health_app(checks), self._settings.bind_address())


def run_role(settings: Settings, role: str, serve: Serve) -> int:
    """Run until SIGTERM or SIGINT; 0 after a drain, 1 when it broke, 2 when it was told something wrong."""
    logs.configure(settings.log, role)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_stopped(settings, role, serve))
    except ConfigurationError as wrong:
        print(f"headrace run {role}: {wrong}", file=sys.stderr)  # noqa: T201 - the one line the operator sees
        return WRONG
    except (HeadraceError, OSError) as broken:
        return _broken(broken)
    except ExceptionGroup as several:  # the tasks of a role end in groups
        return _ended(role, several)
    return DONE


def _ended(role: str, several: ExceptionGroup) -> int:
    """What a role's tasks broke on, when all of it is ours; a bug is raised on, for its trace."""
    told, rest = several.split(ConfigurationError)
    broken, bugs = rest.split((HeadraceError, OSError)) if rest is not None else (None, None)
    if bugs is not None:
        raise several
    if told is not None:
        print(f"headrace run {role}: {'; '.join(map(str, _leaves(told)))}", file=sys.stderr)  # noqa: T201
        return WRONG
    return _broken(*_leaves(broken)) if broken is not None else FAILED


def _leaves(group: BaseExceptionGroup[Exception]) -> list[BaseException]:
    found: list[BaseException] = []
    for each in group.exceptions:
        found += _leaves(each) if isinstance(each, BaseExceptionGroup) else [each]
    return found


def _broken(*why: BaseException) -> int:
    _LOG.error("role ended", action="end", error="; ".join(f"{type(each).__name__}: {each}" for each in why))
    return FAILED


async def _until_stopped(settings: Settings, role: str, serve: Serve) -> None:
    async with watched(), stop_on_signals() as stop, asyncio.TaskGroup() as beside:
        trimming = beside.create_task(memory.trimming(stop))
        await serve(settings, stop, Ready(settings))
        trimming.cancel()
    _LOG.info("drained", action="stop", role=role)
