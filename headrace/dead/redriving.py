"""Sends dead-lettered messages where they belong. They are removed only after the queue confirmed what was sent in their stead.

Who dies in between leaves a letter that is sent again by the next redrive: commands act once, and projectors know what they have passed.
"""

import secrets
from collections.abc import Set
from typing import TYPE_CHECKING, NamedTuple

from headrace.dead.opening import COMMANDS, NotRedrivable, again, ids
from runtime.aws import aws_errors
from runtime.stack import Stack
from workers.dead_letters import DeadLetter, DeadLetters
from workers.queue import most_receives

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient


class Redriven(NamedTuple):
    """What was sent, and what could not be, with the reason."""

    sent: list[str]
    stuck: dict[str, str]
    found: set[str]
    """Of the names that were asked for."""


async def redrive(sqs: "SQSClient", stack: Stack, queue: str, wanted: Set[str], most: int) -> Redriven:
    """Messages of a queue's dead letters: those named (by message or command id), or all when none is. Raises Retryable."""
    dead = DeadLetters(sqs, stack.queues[f"{queue}-dead"])
    letters = await dead.take(most)
    done = Redriven([], {}, set())
    left = list(letters)
    lost: set[str] = set()
    try:
        for letter in letters:
            lost |= await dead.keep(left)
            if letter.message_id in lost:
                done.stuck[letter.message_id] = "somebody else holds it by now"
                continue
            named = ids(queue, letter) & wanted
            done.found.update(named)
            if wanted and not named:
                continue
            try:
                bodies = again(letter, stack.partitions) if queue == COMMANDS else {letter.group: letter.body}
            except NotRedrivable as wrong:
                done.stuck[letter.message_id] = str(wrong)
                continue
            await _send(sqs, stack.queues[queue], bodies)
            await dead.remove(letter)
            left.remove(letter)
            done.sent.append(letter.message_id)
    finally:
        await dead.release([letter for letter in left if letter.message_id not in lost])
    return done


async def _send(sqs: "SQSClient", url: str, bodies: dict[str, str]) -> None:
    """Under ids of their own: as repeats of what was sent long ago SQS might take them for known and drop them."""
    for group, body in bodies.items():
        with aws_errors():
            await sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId=group, MessageDeduplicationId=secrets.token_hex(16))


async def look(sqs: "SQSClient", stack: Stack, queue: str, most: int) -> tuple[int, list[DeadLetter]]:
    """(how many there are, the first of them); all are visible again afterwards. Raises Retryable."""
    dead = DeadLetters(sqs, stack.queues[f"{queue}-dead"], await most_receives(sqs, stack.queues[queue]))
    depth = await dead.depth()
    letters = await dead.take(most) if depth else []
    await dead.release(letters)
    return depth, letters
