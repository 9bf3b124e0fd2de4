"""AWS clients: one session a process, bounded waits, every request counted, vendor errors translated at this edge.

Retries: botocore's `standard` mode for calls that may be repeated without harm; none where the answer of a lost call matters
(appends), since a conditional write whose answer was lost fails its own retry.
"""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import localstack_client.config
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession, get_session
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from runtime.aws_lean import make_lean
from runtime.aws_metering import meter
from runtime.errors import ConfigurationError, Fatal, Retryable
from runtime.settings import Settings

if TYPE_CHECKING:
    from types_aiobotocore_cloudformation import CloudFormationClient
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_dynamodbstreams import DynamoDBStreamsClient
    from types_aiobotocore_sns import SNSClient
    from types_aiobotocore_sqs import SQSClient

CONNECT_SECONDS: Final = 2
READ_SECONDS: Final = 5
LONG_POLL_SECONDS: Final = 20
SCAN_SECONDS: Final = 90
POOL: Final = 64
USER_AGENT: Final = "headrace"
"""Fixed: botocore would put its own together twice for every call."""
_TRANSIENT: Final = frozenset(
    {
        "InternalFailure",
        "InternalServerError",
        "InternalError",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "RequestTimeout",
        "RequestTimeoutException",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
        "RequestThrottled",
        "RequestLimitExceeded",
        "ProvisionedThroughputExceededException",
        "LimitExceededException",
        "TransactionConflictException",
        "TransactionInProgressException",
        "KmsThrottled",
        "KMSThrottling",
        "500",
        "502",
        "503",
        "504",
    }
)

_THROTTLES: Final = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "ThrottlingError",
        "TooManyRequestsException",
        "RequestThrottled",
        "RequestLimitExceeded",
        "ProvisionedThroughputExceededException",
        "ProvisionedThroughputExceeded",
    }
)


class AwsUnavailable(Retryable):
    """AWS did not answer in time, throttled, or had an error of its own."""


class AwsThrottled(AwsUnavailable):
    """AWS would not take the request now: it was not carried out."""


class AwsRefused(Fatal):
    """AWS understood the request and refuses it; repeating it cannot help."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


def error_code(wrong: ClientError) -> str:
    """The vendor's error code without its legacy prefix."""
    return str(wrong.response.get("Error", {}).get("Code", "")).rpartition(".")[2]


def is_throttle(code: str) -> bool:
    """Whether this error says that nothing was done because too much was asked."""
    return code in _THROTTLES


def is_transient(code: str, status: int) -> bool:
    """Whether the same request may succeed later."""
    return code in _TRANSIENT or status >= 500 or status == 429


@contextmanager
def aws_errors() -> Iterator[None]:
    """Vendor errors out, ours in: AwsUnavailable (Retryable) or AwsRefused (Fatal)."""
    try:
        yield
    except ClientError as wrong:
        code, status = error_code(wrong), int(wrong.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if is_throttle(code):
            raise AwsThrottled(code) from wrong
        if is_transient(code, status):
            raise AwsUnavailable(code) from wrong
        raise AwsRefused(code, str(wrong.response.get("Error", {}).get("Message", ""))) from wrong
    except NoCredentialsError as wrong:
        raise ConfigurationError(["AWS credentials: none found, and no stack is up here that would name an endpoint"]) from wrong
    except (BotoCoreError, aiohttp.ClientError, TimeoutError, OSError) as wrong:
        raise AwsUnavailable(type(wrong).__name__) from wrong


class Aws:
    """Opens clients of one session; close them all by leaving `open_aws`."""

    def __init__(self, settings: Settings, session: AioSession, stack: AsyncExitStack) -> None:
        self._settings, self._session, self._stack = settings, session, stack

    async def _client(self, service: str, *, read: float = READ_SECONDS, attempts: int = 3) -> Any:
        config = AioConfig(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=read,
            max_pool_connections=POOL,
            parameter_validation=False,
            retries={"mode": "standard", "total_max_attempts": attempts},
            tcp_keepalive=True,
            user_agent=USER_AGENT,
            account_id_endpoint_mode="disabled",
        )
        client = await self._stack.enter_async_context(
            self._session.create_client(  # type: ignore[call-overload]  # the stubs have one overload a literal
                service, region_name=self._settings.aws_region, endpoint_url=endpoint(self._settings, service), config=config
            )
        )
        make_lean(client, service)
        meter(client, service)
        return client

    async def sqs(self) -> "SQSClient":
        """For short calls."""
        return await self._client("sqs")  # type: ignore[no-any-return]

    async def sqs_polling(self) -> "SQSClient":
        """For long polls: waits longer than the poll, and never repeats a receive by itself (it is not idempotent)."""
        return await self._client("sqs", read=LONG_POLL_SECONDS + READ_SECONDS, attempts=1)  # type: ignore[no-any-return]

    async def sns(self) -> "SNSClient":
        return await self._client("sns")  # type: ignore[no-any-return]

    async def dynamodb(self) -> "DynamoDBClient":
        """For reads and lease rows."""
        return await self._client("dynamodb")  # type: ignore[no-any-return]

    async def dynamodb_scanning(self) -> "DynamoDBClient":
        """For scans. An emulator takes seconds for each page of a large table, and goes on with what nobody waits for any more, so that
        asking again only makes it later: one long attempt."""
        return await self._client("dynamodb", read=SCAN_SECONDS, attempts=1)  # type: ignore[no-any-return]

    async def dynamodb_appending(self) -> "DynamoDBClient":
        """For appends: one attempt; what a lost answer means is for the caller to find out by reading."""
        return await self._client("dynamodb", attempts=1)  # type: ignore[no-any-return]

    async def streams(self) -> "DynamoDBStreamsClient":
        return await self._client("dynamodbstreams")  # type: ignore[no-any-return]

    async def cloudformation(self) -> "CloudFormationClient":
        return await self._client("cloudformation", read=60)  # type: ignore[no-any-return]


def endpoint(settings: Settings, service: str) -> str | None:
    """Where `service` answers: our setting; else LocalStack's own variables, resolved by its client; else AWS (None)."""
    if settings.aws_endpoint_url:
        return settings.aws_endpoint_url
    if os.environ.get("LOCALSTACK_HOST") or os.environ.get("LOCALSTACK_ENDPOINT"):
        return str(localstack_client.config.get_service_endpoint(service))
    return None


@asynccontextmanager
async def open_aws(settings: Settings) -> AsyncIterator[Aws]:
    """The process's AWS session; its clients close when this is left."""
    async with AsyncExitStack() as stack:
        yield Aws(settings, get_session(), stack)
