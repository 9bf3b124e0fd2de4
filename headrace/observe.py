"""What can be seen of a stack from outside its processes: how much waits where."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from runtime.aws import AwsRefused, AwsUnavailable, aws_errors, open_aws
from runtime.settings import Settings, load

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

QUEUES: Final = ("commands", "rds", "cache")
_SECONDS: Final = 8.0


class Observed(msgspec.Struct, frozen=True):
    """`queues`: depth by name, visible and in flight, dead-letter queues as `NAME-dead`. A queue that did not answer is
    left out. `lag_seconds`: by projector, the age of the oldest stored commit it lacks. `parked`: streams."""

    queues: dict[str, int]
    lag_seconds: dict[str, float]
    parked: int


async def observe(environment: Mapping[str, str]) -> Observed:
    """Look at the stack that these settings name. What cannot be reached is left out: this is for looking at faults."""
    settings = load(environment)
    return Observed(queues=await queue_depths(settings), lag_seconds={}, parked=0)


async def queue_depths(settings: Settings) -> dict[str, int]:
    """Depth of every queue. SQS counts messages, each a parcel of one or more commands: a lower bound in commands."""
    names = [name for queue in QUEUES for name in (queue, f"{queue}-dead")]
    try:
        async with asyncio.timeout(_SECONDS), open_aws(settings) as aws:
            sqs = await aws.sqs()
            depths = await asyncio.gather(*(_depth(sqs, f"{settings.stack}-{name}.fifo") for name in names))
    except TimeoutError:
        return {}
    return {name: depth for name, depth in zip(names, depths, strict=True) if depth is not None}


async def _depth(sqs: "SQSClient", queue: str) -> int | None:
    try:
        with aws_errors():
            url = (await sqs.get_queue_url(QueueName=queue))["QueueUrl"]
            answer = await sqs.get_queue_attributes(
                QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
            )
    except (AwsRefused, AwsUnavailable):
        return None
    return sum(int(value) for value in answer["Attributes"].values())
