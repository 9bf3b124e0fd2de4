"""A dead-letter queue as people look at it: messages are taken for a while, read, and released or removed. Vendor errors end here."""

from collections.abc import Iterator, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from runtime.aws import aws_errors
from runtime.times import Micros

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

HIDDEN_SECONDS: Final = 60
"""From everybody else while we look: SQS shows no more than ten of a group at once, and the rest of a group only behind them."""
AGAIN_SECONDS: Final = 15.0
"""After which what is held is held anew: a call, with its repeats, takes no longer than the rest."""
MOST_A_CALL: Final = 10
_SYSTEM: Final = ("MessageGroupId", "SentTimestamp", "DeadLetterQueueSourceArn")
_OURS: Final = ("reason", "receives", "ErrorMessage")


class DeadLetter(NamedTuple):
    """One message. `reason`: why it was set aside. `receives`: how often it was received before, where whoever set it aside said so."""

    message_id: str
    receipt: str
    group: str
    body: str
    reason: str
    sent_at: Micros
    receives: int | None = None


class DeadLetters:
    """Of one queue. `gives_up`: the receives after which SQS itself moves a message here from the queue it belongs to."""

    def __init__(self, sqs: "SQSClient", url: str, gives_up: int | None = None) -> None:
        self._sqs, self._url, self._gives_up = sqs, url, gives_up
        self._held_at = monotonic()

    async def take(self, most: int) -> list[DeadLetter]:
        """Up to `most`, hidden from others: `keep` them while working on them, then release what is left."""
        found: list[DeadLetter] = []
        self._held_at = monotonic()
        while len(found) < most:
            with aws_errors():
                answer = await self._sqs.receive_message(
                    QueueUrl=self._url,
                    MaxNumberOfMessages=min(MOST_A_CALL, most - len(found)),
                    VisibilityTimeout=HIDDEN_SECONDS,
                    MessageSystemAttributeNames=list(_SYSTEM),
                    MessageAttributeNames=list(_OURS),
                )
            messages = answer.get("Messages", [])
            found += (_letter(message, self._gives_up) for message in messages)
            if not messages:
                break
            lost = await self.keep(found)
            found = [letter for letter in found if letter.message_id not in lost]
        return found

    async def keep(self, letters: Sequence[DeadLetter]) -> set[str]:
        """Call before each step of what takes long. Returns ids of letters that could not be held any longer: they are others' now."""
        if monotonic() - self._held_at < AGAIN_SECONDS:
            return set()
        self._held_at = monotonic()
        return await self._hide(letters, HIDDEN_SECONDS)

    async def release(self, letters: Sequence[DeadLetter]) -> None:
        """Everybody sees them again; the last first, so that no later message of a group shows before an earlier one."""
        await self._hide(letters[::-1], 0)

    async def _hide(self, letters: Sequence[DeadLetter], seconds: int) -> set[str]:
        """Returns ids of those for which it did not work."""
        failed: set[str] = set()
        for part in _parts(letters):
            entries: Any = [
                {"Id": str(place), "ReceiptHandle": letter.receipt, "VisibilityTimeout": seconds} for place, letter in enumerate(part)
            ]
            with aws_errors():
                answer = await self._sqs.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)
            failed.update(part[int(entry["Id"])].message_id for entry in answer.get("Failed", []))
        return failed

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


def _parts(letters: Sequence[DeadLetter]) -> Iterator[Sequence[DeadLetter]]:
    return (letters[start : start + MOST_A_CALL] for start in range(0, len(letters), MOST_A_CALL))


def _letter(message: Any, gives_up: int | None) -> DeadLetter:
    attributes = message.get("Attributes", {})
    said = {name: value.get("StringValue", "") for name, value in message.get("MessageAttributes", {}).items()}
    receives = said.get("receives", "")
    return DeadLetter(
        message["MessageId"],
        message["ReceiptHandle"],
        attributes.get("MessageGroupId", ""),
        message["Body"],
        said.get("reason") or _unsaid(attributes, said, gives_up),
        Micros(int(attributes.get("SentTimestamp", "0")) * 1000),
        int(receives) if receives.isdecimal() else None,
    )


def _unsaid(attributes: Any, said: dict[str, str], gives_up: int | None) -> str:
    """Why a message is here that none of us put here: what SQS or SNS say of it, and no more than is known."""
    if "DeadLetterQueueSourceArn" in attributes:
        allowed = f"its queue allows {gives_up} receives" if gives_up is not None else "received too often"
        return f"SQS gave it up: {allowed}, and it was never deleted"
    if "ErrorMessage" in said:
        return f"SNS could not deliver it: {said['ErrorMessage']}"
    return "not said"
