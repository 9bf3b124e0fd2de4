"""One stack for all acceptance tests that only talk to it; with a second domain plugged in and short visibility."""

from collections.abc import AsyncIterator

import pytest

from tests.acceptance.stack import Live, stack_up


@pytest.fixture(scope="session")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    more = {"HEADRACE_DOMAIN": "tests.support.ledger:DOMAIN", "HEADRACE_VISIBILITY_SECONDS": "5", "HEADRACE_LEASE_SECONDS": "2"}
    async with stack_up(tmp_path_factory.mktemp("acceptance"), more) as found:
        yield found
