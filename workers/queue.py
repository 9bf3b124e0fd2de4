"""One SQS FIFO queue with its dead-letter queue, as the consumer loop needs it. Vendor errors end here."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import md5
from typing import TYPE_CHECKING, Any, Final

from runtime.aws import Aws, AwsUnavailable, aws_errors
from runtime.settings import Settings
from runtime.stack import Stack

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

MOST: Final = 10  # messages SQS gives or takes a call
MOST_RECEIVES: Final = 10  # as the template sets it by default


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message in hand."""

    message_id: str
    receipt: str
    group: str
    body: str
    receives: int
    """How often it was received, this time included."""


class Queue:
    """Receive, extend, release, delete, bury."""

    def __init__(
        self, polling: "SQSClient", sqs: "SQSClient", urls: tuple[str, str], visibility: int, most_receives: int = MOST_RECEIVES
    ) -> None:
        self._polling, self._sqs = polling, sqs
        self._url, self._dead_url = urls
        self.visibility = visibility
        """Seconds a message stays in hand without an extension."""
        self.most_receives = most_receives
        """After so many SQS moves a message to the dead-letter queue by itself."""

    async def receive(self, wait: int) -> list[Delivery]:
        """Up to ten messages, as soon as there is one; empty after `wait` seconds. Never repeated by the SDK."""
        with aws_errors():
            answer = await self._polling.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=MOST,
                WaitTimeSeconds=wait,
                VisibilityTimeout=self.visibility,
                MessageSystemAttributeNames=["MessageGroupId", "ApproximateReceiveCount"],
            )
        return [_delivery(message) for message in answer.get("Messages", [])]

    async def extend(self, deliveries: Sequence[Delivery], seconds: int) -> list[Delivery]:
        """Keep messages for `seconds` from now (0: give them back). Returns those for which it did not work."""
        return await self._batch(
            deliveries,
            lambda entries: self._sqs.change_message_visibility_batch(
                QueueUrl=self._url, Entries=[entry | {"VisibilityTimeout": seconds} for entry in entries]
            ),
        )

    async def delete(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Returns those that were not deleted: they may come again."""
        return await self._batch(deliveries, lambda entries: self._sqs.delete_message_batch(QueueUrl=self._url, Entries=entries))

    async def _batch(self, deliveries: Sequence[Delivery], call: Any) -> list[Delivery]:
        failed: list[Delivery] = []
        for start in range(0, len(deliveries), MOST):
            part = deliveries[start : start + MOST]
            with aws_errors():
                answer = await call([{"Id": str(n), "ReceiptHandle": each.receipt} for n, each in enumerate(part)])
            failed += [part[int(entry["Id"])] for entry in answer.get("Failed", [])]
        return failed

    async def bury(self, delivery: Delivery, reason: str) -> None:
        """Store a message that can never be handled in the dead-letter queue, with the reason. The original is still there."""
        await self.bury_body(delivery.body, delivery.message_id, reason, delivery.receives)

    async def bury_body(self, body: str, once: str, reason: str, receives: int) -> None:
        """`once` identifies what is buried, so that burying it again within five minutes stores it once. `receives`: of its message.

        It is a message group of its own: of a group SQS shows ten messages at a time, and people want to see them all.
        """
        with aws_errors():
            await self._sqs.send_message(
                QueueUrl=self._dead_url,
                MessageBody=body,
                MessageGroupId=once[:128],
                MessageDeduplicationId=once[:128],
                MessageAttributes={
                    "reason": {"DataType": "String", "StringValue": reason[:500] or "unknown"},
                    "receives": {"DataType": "Number", "StringValue": str(receives)},
                },
            )

    async def check(self) -> None:
        """For readiness: raises when the queue does not answer."""
        with aws_errors():
            await self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["ApproximateNumberOfMessages"])


def _delivery(message: Any) -> Delivery:
    """Raises AwsUnavailable for a message that did not arrive whole: it comes again."""
    try:
        body, attributes = message["Body"], message["Attributes"]
        delivery = Delivery(
            message_id=message["MessageId"],
            receipt=message["ReceiptHandle"],
            group=attributes.get("MessageGroupId", ""),  # an emulator's topic may deliver without one
            body=body,
            receives=int(attributes["ApproximateReceiveCount"]),
        )
        whole = message.get("MD5OfBody") in (None, md5(body.encode(), usedforsecurity=False).hexdigest())
    except (KeyError, TypeError, ValueError) as wrong:
        raise AwsUnavailable(f"a message without {wrong}") from wrong
    if not whole:
        raise AwsUnavailable(f"message {delivery.message_id} is not what its checksum says")
    return delivery


async def most_receives(sqs: "SQSClient", url: str) -> int | None:
    """The maxReceiveCount of a queue; None when it has no redrive policy."""
    with aws_errors():
        answer = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])
    policy = answer.get("Attributes", {}).get("RedrivePolicy")
    return int(json.loads(policy)["maxReceiveCount"]) if policy else None


async def open_queue(aws: Aws, stack: Stack, name: str, settings: Settings) -> Queue:
    """`name` is one of the stack's queues: `commands`, `rds`, `cache`, `amqp`."""
    urls = (stack.queues[name], stack.queues[f"{name}-dead"])
    sqs = await aws.sqs()
    return Queue(await aws.sqs_polling(), sqs, urls, settings.visibility_seconds, await most_receives(sqs, urls[0]) or MOST_RECEIVES)
