"""Structured logs: one line an event, JSON for machines or columns for people; every line has an `action`."""

import json
import logging
import sys
from typing import Any, Final

import structlog

_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO}
Log = structlog.typing.FilteringBoundLogger


def configure(form: str, role: str) -> None:
    """Set up structlog for this process. `form` is `json` or `console`, optionally with `:debug`."""
    shape, _, level = form.partition(":")
    renderer: Any = structlog.processors.JSONRenderer() if shape == "json" else structlog.dev.ConsoleRenderer(repr_native_str=True)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if shape == "json" else structlog.processors.StackInfoRenderer(),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level or "info"]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(role=role)
    # Vendors' own loggers: warnings and worse only, on the same stream.
    vendors = logging.StreamHandler(sys.stderr)
    vendors.setFormatter(_OneLine())
    logging.basicConfig(level=logging.WARNING, handlers=[vendors])


class _OneLine(logging.Formatter):
    """A vendor's record as one line of JSON: what it says and the error it is about, never a trace, whatever it holds."""

    def format(self, record: logging.LogRecord) -> str:
        said = {"vendor": record.name, "level": record.levelname.lower(), "event": record.getMessage()}
        if record.exc_info and record.exc_info[0] is not None:
            said["error"] = record.exc_info[0].__name__
        return json.dumps(said)


def get(name: str) -> Log:
    """A logger bound to the part of the code it speaks for; it takes its form when it first speaks, not when it is made."""
    log: Log = structlog.get_logger(part=name)
    return log
