"""`/healthz`, `/readyz`, `/metrics`: whether this gateway lives, whether it can do its work, what it counted.

Ready needs SQS, DynamoDB and PostgreSQL. Redis is shown but not needed: without it commands are still accepted and decided and queries
come from PostgreSQL, only slower; taking every gateway out of service for it would turn a slow hour into an outage.
"""

from collections.abc import Mapping
from typing import Final

from gateway.answers import Answer, json_answer
from gateway.requests import Request
from runtime.health import Check, readiness
from runtime.metrics import exposition

NOT_NEEDED: Final = frozenset({"redis"})


class HealthRoutes:
    """Three routes."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks

    async def live(self, request: Request) -> Answer:  # noqa: ARG002 - a handler's shape
        """Answers as long as the loop turns."""
        return json_answer({"live": True})

    async def ready(self, request: Request) -> Answer:  # noqa: ARG002
        """Asks every dependency."""
        state = await readiness(self._checks)
        state.ready = all(each.ok for name, each in state.dependencies.items() if name not in NOT_NEEDED)
        return json_answer(state, status=200 if state.ready else 503)

    async def metrics(self, request: Request) -> Answer:  # noqa: ARG002
        """Prometheus text."""
        return Answer(200, [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")], exposition())
