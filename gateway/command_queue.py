"""The commands queue as the gateway uses it: some parcels in one call, one answer each."""

from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from events.ids import Partition
from runtime.aws import aws_errors

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient
    from types_aiobotocore_sqs.type_defs import SendMessageBatchRequestEntryTypeDef


class Message(NamedTuple):
    """One parcel on the wire. A retry carries the same `dedup`."""

    partition: Partition
    dedup: str
    body: str


class Sent(Enum):
    """What became of one entry of a call."""

    YES = "yes"
    AGAIN = "again"
    """SQS had trouble with it: the same entry may be sent again."""
    NEVER = "never"
    """SQS refuses it for what it is."""


class CommandQueue(Protocol):
    """A port of one method."""

    async def send(self, messages: Sequence[Message]) -> list[Sent]:
        """One answer a message, in order. Raises Retryable (nothing is known about any of them) or Fatal (none was taken)."""
        ...


class SqsCommandQueue:
    """On SQS: `SendMessageBatch`, whose 200 may still hold failed entries."""

    def __init__(self, sqs: "SQSClient", url: str) -> None:
        self._sqs, self._url = sqs, url

    async def send(self, messages: Sequence[Message]) -> list[Sent]:
        with aws_errors():
            answer = await self._sqs.send_message_batch(
                QueueUrl=self._url, Entries=[_entry(place, each) for place, each in enumerate(messages)]
            )
        sent = [Sent.AGAIN] * len(messages)
        for good in answer.get("Successful", ()):
            sent[int(good["Id"])] = Sent.YES
        for bad in answer.get("Failed", ()):
            sent[int(bad["Id"])] = Sent.NEVER if bad["SenderFault"] else Sent.AGAIN
        return sent


def _entry(place: int, message: Message) -> "SendMessageBatchRequestEntryTypeDef":
    return {
        "Id": str(place),
        "MessageBody": message.body,
        "MessageGroupId": f"p{message.partition}",
        "MessageDeduplicationId": message.dedup,
    }
