"""An answer without a task: the handler of a request that is all there runs at once, up to the future it waits for.

What Python 3.12 calls an eager task, with less: the handler may wait for futures and for nothing else, and whatever needs a task of
its own (a timeout, a group) is not for it. A confirmation resumes it, and the answer is written there and then.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.answers import Answer
from gateway.requests import CLOSE
from runtime.logs import get

UNUSUAL: Final = frozenset({b"expect", b"prefer", b"transfer-encoding", b"upgrade"})
"""Headers of requests that take the ordinary way: they wait for an outcome, or come in another fashion."""


class _Nobody:
    """Where uvicorn wakes the application: here nobody waits for what else may come."""

    def set(self) -> None:
        """Nothing."""


_NOBODY: Final = _Nobody()
_LOG: Final = get("http")


def _nowhere(_: "PromptCycle", __: Answer | None) -> None:
    """Where a cycle writes that is at its end."""


class PromptCycle:
    """Stands where uvicorn keeps a RequestResponseCycle, with what it and our protocol look at."""

    __slots__ = ("_answer", "_write", "disconnected", "keep_alive", "message_event", "response_complete", "response_started")

    def __init__(
        self,
        answer: Coroutine["asyncio.Future[Any]", None, Answer],
        write: Callable[["PromptCycle", Answer | None], None],
        *,
        keep_alive: bool,
    ) -> None:
        self._answer, self._write, self.keep_alive = answer, write, keep_alive
        self.disconnected = self.response_started = self.response_complete = False
        self.message_event = _NOBODY

    def advance(self, _: object = None) -> None:
        """Run the handler until it waits again, or write its answer. Whatever it raises ends the connection and nothing else."""
        try:
            self._answer.send(None).add_done_callback(self.advance)
        except StopIteration as end:
            self._finish(end.value)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as wrong:  # noqa: BLE001 - a cancelled future, too: nobody stands behind us to close the connection
            _LOG.exception("answer failed", action="answer", error=type(wrong).__name__)
            self._finish(None)

    def _finish(self, answer: Answer | None) -> None:
        """Once, and the connection is let go: a closed one is not left to the collector of cycles."""
        write, self._write = self._write, _nowhere
        write(self, answer)

    def drop(self) -> None:
        """The handler does not run: the request was answered otherwise."""
        self._write = _nowhere
        self._answer.close()

    def head_and_body(self, answer: Answer) -> bytes:
        """As uvicorn would write it, in one piece; an answer that says so itself ends the connection."""
        lines = [STATUS_LINE[answer.status]]
        for name, value in answer.headers:
            lines += (name, b": ", value, b"\r\n")
        if CLOSE in answer.headers:
            self.keep_alive = False
        elif not self.keep_alive:
            lines.append(b"connection: close\r\n")
        lines += (b"\r\n", answer.body)
        return b"".join(lines)
