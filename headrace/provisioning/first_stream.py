"""The stream of a new event store: known from the beginning, so that nobody walks a store of which every commit is on its stream."""

from runtime.aws import Aws, aws_errors
from runtime.settings import Settings
from runtime.stack import table_name
from workers.stream import EventStream
from workers.walks import Walks


async def is_empty(aws: Aws, settings: Settings) -> bool:
    """Whether nothing is stored: a stack without facts can still have a store, restored from a backup."""
    dynamodb = await aws.dynamodb()
    with aws_errors():
        page = await dynamodb.scan(TableName=table_name(settings, "events"), Limit=1, ConsistentRead=True)
    return not page["Items"]


async def know_stream(aws: Aws, settings: Settings) -> None:
    """Of a store that was empty when its stream was there. Raises Retryable."""
    dynamodb = await aws.dynamodb()
    arn = await EventStream(dynamodb, await aws.streams(), table_name(settings, "events")).arn()
    await Walks(dynamodb, table_name(settings, "control")).know_stream(arn)
