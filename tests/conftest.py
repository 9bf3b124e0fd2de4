"""Real servers for the tests that need them: started once a session, on free ports, in a folder that goes with it."""

import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from events.domain import Registry
from headrace.local import rabbit_server
from headrace.local.servers import aws, postgres, rabbitmq, redis
from headrace.provision import provision
from readmodel.domains import registry as registry_of
from runtime.settings import Settings, load

os.environ.setdefault("AWS_ACCESS_KEY_ID", "test")
os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "test")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks with `aws` what runs on the backend of the run: by its fixtures, or with a whole stack of its own (tests/acceptance)."""
    for item in items:
        if "backend" in getattr(item, "fixturenames", ()) or Path(__file__).parent / "acceptance" in item.path.parents:
            item.add_marker("aws")


@pytest.fixture(scope="session")
def backend() -> str:
    """Which AWS emulator this run is on: `AWS=ministack` (the default) or `AWS=localstack`."""
    return os.environ.get("AWS", "ministack")


@pytest.fixture(scope="session")
async def database_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    async with postgres(tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture(scope="session")
async def redis_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    async with redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(scope="session")
async def aws_url(tmp_path_factory: pytest.TempPathFactory, backend: str) -> AsyncIterator[str]:
    async with aws(tmp_path_factory.mktemp("aws"), backend) as url:
        yield url


@pytest.fixture(scope="session")
async def settings(database_url: str, redis_url: str, aws_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A provisioned stack of this session's own."""
    state: Path = tmp_path_factory.mktemp("state")
    settings = load(
        {
            "AWS_ENDPOINT_URL": aws_url,
            "HEADRACE_DATABASE_URL": database_url,
            "HEADRACE_REDIS_URL": redis_url,
            "HEADRACE_STACK": f"test{secrets.token_hex(3)}",
            "HEADRACE_STATE": str(state),
        }
    )
    await provision(settings)
    return settings


@pytest.fixture(scope="session")
def registry(settings: Settings) -> Registry:
    return registry_of(settings)


@pytest.fixture(scope="session")
async def amqp_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A real RabbitMQ. There is no wheel of one: a machine without it does not test that door, but CI must have it."""
    if not rabbit_server.is_installed() and not os.environ.get("CI"):
        pytest.skip("rabbitmq-server is not installed")
    async with rabbitmq(tmp_path_factory.mktemp("rabbitmq")) as url:
        yield url
