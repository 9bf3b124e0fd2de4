"""A queue of a rebuild's own on the topic of events: it hears everything from before the scan on, and is gone afterwards.

It is made by the API and not by a template: it lives for minutes. Its name bears the generation's number, which is never given twice,
since SQS refuses a name for a minute after it was deleted. What SNS could not deliver to it is lost to it alone: no redrive queue is
needed, because what the old generation has is counted before the switch.
"""

import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from runtime.aws import AwsRefused, aws_errors

if TYPE_CHECKING:
    from types_aiobotocore_sns import SNSClient
    from types_aiobotocore_sqs import SQSClient

RETENTION_SECONDS: Final = 1_209_600
_GONE: Final = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "NonExistentQueue", "NotFound"})


class OwnQueue(NamedTuple):
    """Where it is."""

    url: str
    arn: str


def prefix(stack: str) -> str:
    """Of the names of all rebuilds' queues of a stack."""
    return f"{stack}-rebuild-"


def is_own(stack: str, name: str) -> bool:
    """Whether a queue of this name is a rebuild's of this stack: a stack that is called `{stack}-rebuild-2` has queues of its own. Pure."""
    return re.fullmatch(rf"{re.escape(prefix(stack))}[0-9]+\.fifo", name, re.ASCII) is not None


async def subscribe(aws: tuple["SQSClient", "SNSClient"], topic_arn: str, name: str, visibility: int) -> OwnQueue:
    """Queue, policy, subscription; from the answer on it hears what is published. Only this topic may write to it."""
    sqs, sns = aws
    attributes: Any = {
        "FifoQueue": "true",
        "ContentBasedDeduplication": "false",
        "DeduplicationScope": "messageGroup",
        "FifoThroughputLimit": "perMessageGroupId",
        "VisibilityTimeout": str(visibility),
        "MessageRetentionPeriod": str(RETENTION_SECONDS),
        "SqsManagedSseEnabled": "true",
    }
    with aws_errors():
        url = (await sqs.create_queue(QueueName=name, Attributes=attributes))["QueueUrl"]
        arn = (await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"]))["Attributes"]["QueueArn"]
        await sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": _policy(arn, topic_arn)})
        await sns.subscribe(
            TopicArn=topic_arn, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"}, ReturnSubscriptionArn=True
        )
    return OwnQueue(url, arn)


def _policy(queue_arn: str, topic_arn: str) -> str:
    allowed = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic_arn}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [allowed]})


async def remove_all(aws: tuple["SQSClient", "SNSClient"], topic_arn: str, stack: str) -> int:
    """Subscriptions and queues of all rebuilds of this stack, ended or not: for whoever holds the lock. How many queues there were."""
    sqs, sns = aws
    start: dict[str, Any] = {}
    with aws_errors():
        while True:
            page = await sns.list_subscriptions_by_topic(TopicArn=topic_arn, **start)
            for each in page["Subscriptions"]:
                # One that is being deleted is listed for a while, with a word in the place of its name.
                if is_own(stack, each["Endpoint"].rpartition(":")[2]) and each["SubscriptionArn"].startswith("arn:"):
                    await _unless_gone(sns.unsubscribe(SubscriptionArn=each["SubscriptionArn"]))
            if not page.get("NextToken"):
                break
            start = {"NextToken": page["NextToken"]}
        found = (await sqs.list_queues(QueueNamePrefix=prefix(stack))).get("QueueUrls", [])
        urls = [url for url in found if is_own(stack, url.rpartition("/")[2])]
        for url in urls:
            await _unless_gone(sqs.delete_queue(QueueUrl=url))
    return len(urls)


async def _unless_gone(call: Any) -> None:
    try:
        with aws_errors():
            await call
    except AwsRefused as refused:
        if refused.code not in _GONE:
            raise
