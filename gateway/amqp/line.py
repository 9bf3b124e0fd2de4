"""A broker as the door sees it: the ports that `broker` fills with RabbitMQ and unit tests with a script."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from gateway.amqp.messages import Arrived


class Line(Protocol):
    """One open connection. Everything raises Retryable once it is lost; what was not done by then comes again on the next one."""

    @property
    def lost(self) -> bool:
        """Nothing more can be done over it."""
        ...

    async def next(self) -> list[Arrived]:
        """What has come since the last call, in order; at least one."""
        ...

    async def done(self, tag: int) -> None:
        """Everything up to and including this message is acknowledged."""
        ...

    async def bury(self, arrived: Arrived, code: str, detail: str) -> None:
        """It lies in the dead-letter queue when this returns, a copy with the reason or itself; `done` comes after. May be tried again."""
        ...

    async def reply(self, to: str, correlation_id: str, body: bytes) -> bool:
        """False when no such queue is there (any more)."""
        ...

    async def stop(self) -> None:
        """Nothing new comes."""
        ...


class Broker(Protocol):
    """Where lines come from."""

    def line(self, *, careful: bool = False) -> AbstractAsyncContextManager[Line]:
        """A connection whose queue is consumed; `careful`: one message at a time. Raises Retryable."""
        ...
