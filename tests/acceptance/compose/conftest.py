"""The stack of docker-compose.yml under a project, an image and a port of its own; gone without a trace afterwards."""

import os
import uuid
from collections.abc import Iterator

import pytest

from tests.acceptance.compose.engine import Compose

collect_ignore = [] if os.environ.get("HEADRACE_COMPOSE") == "1" else ["test_compose.py"]


@pytest.fixture(scope="session")
def compose() -> Iterator[Compose]:
    stack = Compose(f"headrace-test-{uuid.uuid4().hex[:8]}")
    try:
        stack.up("--build")
        yield stack
    finally:
        stack.remove()
