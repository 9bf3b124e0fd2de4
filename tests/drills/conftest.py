"""One stack for all drills that only need it to come back: short visibility and leases, so that what died is taken over within seconds."""

from collections.abc import AsyncIterator

import pytest

from tests.acceptance.stack import Live, stack_up
from tests.integration.write_side.conftest import write_side

__all__ = ["stack", "write_side"]


@pytest.fixture(scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    more = {"HEADRACE_VISIBILITY_SECONDS": "4", "HEADRACE_LEASE_SECONDS": "2"}
    async with stack_up(tmp_path_factory.mktemp("drills"), more) as found:
        yield found
