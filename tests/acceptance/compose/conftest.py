"""The stack of docker-compose.yml under a project, an image and a port of its own; gone without a trace afterwards."""

import os
import uuid
from collections.abc import Iterator

import pytest

from tests.acceptance.compose.engine import Compose

collect_ignore = [] if os.environ.get("HEADRACE_COMPOSE") == "1" else ["test_compose.py", "test_compose_amqp.py"]


@pytest.fixture(scope="session")
def compose() -> Iterator[Compose]:
    stack = Compose(f"headrace-test-{uuid.uuid4().hex[:8]}")
    try:
        stack.up("--build")
        yield stack
    finally:
        stack.remove()


@pytest.fixture
def compose_with_rabbitmq() -> Iterator[Compose]:
    """The same with the profile `amqp`."""
    url = "amqp://headrace:headrace@rabbitmq:5672/"
    more = {"HEADRACE_AMQP_URL": url, "HEADRACE_AMQP_PORT": "0", "COMPOSE_PROFILES": "amqp"}
    stack = Compose(f"headrace-test-{uuid.uuid4().hex[:8]}", **more)
    try:
        stack.up("--build")
        yield stack
    finally:
        stack.remove()
