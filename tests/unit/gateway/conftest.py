"""A gateway on stand-ins."""

from collections.abc import AsyncIterator

import pytest

from tests.unit.gateway.fakes import World, world


@pytest.fixture
async def gateway() -> AsyncIterator[World]:
    async with world() as made:
        yield made
