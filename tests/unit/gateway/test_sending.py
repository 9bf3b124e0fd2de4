"""Whatever SQS answers, what it has of a stream is what was given to the sender, in order, once; and nobody is told otherwise."""

import asyncio
from collections.abc import Sequence
from itertools import chain, repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from events.envelope import Command
from events.ids import CommandId, Fingerprint, StreamId
from events.parcel import MAX_BYTES, encode_command, read_commands
from gateway.command_queue import Message, Sent
from gateway.parcelling import BYTES_A_CALL, PARCELS_A_CALL
from gateway.preparing import Prepared
from gateway.sender import NotSent, Sender
from runtime.errors import Retryable
from runtime.times import Micros
from tests.support.virtual_time import run_virtually

PARTITIONS = 3
DEADLINE = 0.5
FAULTS = ("taken, not told", "again", "never", "away", "taken, away")


class Lost(Retryable):
    """Scripted."""


class FaultySqs:
    """Entries fail one by one, answers get lost; what comes again under a known dedup id is taken once, as on SQS."""

    def __init__(self, faults: Sequence[str]) -> None:
        self._faults = chain(faults, repeat(""))
        self.bodies: dict[str, str] = {}
        """By dedup id, in the order in which they were taken."""
        self.said: dict[str, str] = {}
        """Everything that was ever sent under a dedup id."""

    async def send(self, messages: Sequence[Message]) -> list[Sent]:
        assert 0 < len(messages) <= PARCELS_A_CALL
        assert sum(len(each.body.encode()) for each in messages) <= BYTES_A_CALL or len(messages) == 1
        await asyncio.sleep(0.001)
        fault = next(self._faults)
        answers = [self._one(each, fault if fault.endswith("away") else next(self._faults)) for each in messages]
        if fault.endswith("away"):
            raise Lost
        return answers

    def _one(self, message: Message, fault: str) -> Sent:
        assert len(message.body.encode()) <= MAX_BYTES
        assert self.said.setdefault(message.dedup, message.body) == message.body
        if fault in ("", "taken, not told", "taken, away"):
            self.bodies.setdefault(message.dedup, message.body)
        return {"": Sent.YES, "never": Sent.NEVER}.get(fault, Sent.AGAIN)

    @property
    def taken(self) -> list[Command]:
        return [command for body in self.bodies.values() for command in read_commands(body).commands]


def prepared(number: int, stream: int, size: int) -> Prepared:
    data = Raw(b'{"text":"%s"}' % (b"x" * size))
    command = Command(CommandId(f"c{number}"), "comment.delete", StreamId(f"comment-{stream}"), data, Fingerprint("f"), Micros(number))
    return Prepared(command, encode_command(command), key_given=False)


async def marked(_: Sequence[Prepared]) -> None: ...


async def sent(sqs: FaultySqs, waves: list[list[tuple[int, int]]]) -> dict[str, bool]:
    """Whether each command was confirmed, in the order in which they were given to the sender."""
    sender = Sender(sqs, PARTITIONS, marked, DEADLINE)
    running = asyncio.create_task(sender.run())
    given_up_or_not: dict[str, asyncio.Future[None]] = {}
    for wave in waves:
        for stream, size in wave:
            each = prepared(len(given_up_or_not), stream, size)
            given_up_or_not[each.command.id] = sender.add(each)
        await asyncio.sleep(0.003)
    await sender.drained()
    answers = await asyncio.gather(*given_up_or_not.values(), return_exceptions=True)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert all(each is None or isinstance(each, NotSent) for each in answers)
    return {ident: each is None for ident, each in zip(given_up_or_not, answers, strict=True)}


WAVE = st.lists(st.tuples(st.integers(0, 5), st.sampled_from([1, 1, 300, 70_000])), min_size=1, max_size=8)


WAVES = st.lists(WAVE, min_size=1, max_size=6)
MISHAPS = st.lists(st.sampled_from(["", "", "", *FAULTS]), max_size=40)


@given(WAVES, MISHAPS)
@settings(max_examples=400, deadline=None)
def test_nothing_is_lost_repeated_or_overtaken(waves: list[list[tuple[int, int]]], faults: list[str]) -> None:
    arrives(waves, faults)


@pytest.mark.slow
@given(WAVES, MISHAPS)
@settings(max_examples=2500, deadline=None)
def test_the_same_many_times(waves: list[list[tuple[int, int]]], faults: list[str]) -> None:
    arrives(waves, faults)


def arrives(waves: list[list[tuple[int, int]]], faults: list[str]) -> None:
    """Once each, in order, and nothing confirmed that SQS did not take."""
    sqs = FaultySqs(faults)
    confirmed = run_virtually(sent(sqs, waves))
    taken = [command.id for command in sqs.taken]
    assert len(taken) == len(set(taken))
    assert {ident for ident, yes in confirmed.items() if yes} <= set(taken)
    streams = {stream for wave in waves for stream, _ in wave}
    for name in (f"comment-{stream}" for stream in streams):
        numbers = [int(command.id[1:]) for command in sqs.taken if command.stream == name]
        assert numbers == sorted(numbers)
