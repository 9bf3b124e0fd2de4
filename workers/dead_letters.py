"""A dead-letter queue as people look at it: messages are taken for a moment, read, and released or removed. Vendor errors end here."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from runtime.aws import aws_errors
from runtime.times import Micros

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

HIDDEN_SECONDS: Final = 30
"""From everybody else while we look: SQS shows no more than ten of a group at once, and the rest of a group only behind them."""
MOST_A_CALL: Final = 10
GIVEN_UP: Final = "SQS gave it up: received too often and never deleted"


class DeadLetter(NamedTuple):
    """One message. `reason`: why it was set aside."""

    message_id: str
    receipt: str
    group: str
    body: str
    reason: str
    sent_at: Micros


class DeadLetters:
    """Of one queue."""

    def __init__(self, sqs: "SQSClient", url: str) -> None:
        self._sqs, self._url = sqs, url

    async def take(self, most: int) -> list[DeadLetter]:
        """Up to `most`, hidden for HIDDEN_SECONDS: work on them within that time, then release what is left."""
        found: list[DeadLetter] = []
        while len(found) < most:
            with aws_errors():
                answer = await self._sqs.receive_message(
                    QueueUrl=self._url,
                    MaxNumberOfMessages=min(MOST_A_CALL, most - len(found)),
                    VisibilityTimeout=HIDDEN_SECONDS,
                    MessageSystemAttributeNames=["MessageGroupId", "SentTimestamp"],
                    MessageAttributeNames=["reason"],
                )
            messages = answer.get("Messages", [])
            found += map(_letter, messages)
            if not messages:
                break
        return found

    async def release(self, letters: Sequence[DeadLetter]) -> None:
        """Everybody sees them again; the last first, so that no later message of a group shows before an earlier one."""
        left = list(reversed(letters))
        for start in range(0, len(left), MOST_A_CALL):
            entries: Any = [
                {"Id": str(place), "ReceiptHandle": letter.receipt, "VisibilityTimeout": 0}
                for place, letter in enumerate(left[start : start + MOST_A_CALL])
            ]
            with aws_errors():
                await self._sqs.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)

    async def remove(self, letter: DeadLetter) -> None:
        """It was sent to where it belongs."""
        with aws_errors():
            await self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=letter.receipt)

    async def depth(self) -> int:
        """Messages in it, hidden ones too; about."""
        names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        with aws_errors():
            answer = await self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=names)
        return sum(map(int, answer["Attributes"].values()))


def _letter(message: Any) -> DeadLetter:
    attributes = message.get("Attributes", {})
    reason = message.get("MessageAttributes", {}).get("reason", {}).get("StringValue", "")
    return DeadLetter(
        message["MessageId"],
        message["ReceiptHandle"],
        attributes.get("MessageGroupId", ""),
        message["Body"],
        reason or GIVEN_UP,
        Micros(int(attributes.get("SentTimestamp", "0")) * 1000),
    )
