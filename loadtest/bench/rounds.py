"""All subjects' turns, interleaved: A B C A B C, so that what the machine does meanwhile falls on all of them."""

from collections.abc import Callable, Sequence
from time import monotonic

from msgspec import Struct

from headrace.errors import StackFailed
from loadtest.bench.grounds import Grounds
from loadtest.bench.subject import Subject
from loadtest.bench.turns import Sizes, Turn, take_turn

Say = Callable[[str], None]


class Ran(Struct):
    """By subject's name: its turns in order, and why it could not go on."""

    turns: dict[str, list[Turn]]
    faults: dict[str, str]


async def take_rounds(subjects: Sequence[Subject], grounds: Grounds, sizes: Sizes, rounds: int, say: Say) -> Ran:
    """A subject that failed takes no further part; the others go on."""
    ran = Ran({each.name: [] for each in subjects}, {})
    for number in range(1, rounds + 1):
        for place, subject in enumerate(subjects):
            if subject.name not in ran.faults:
                began = monotonic()
                told = await _turn(subject, grounds, sizes, f"r{number}s{place}", ran)
                say(f"round {number} of {rounds}  {subject.name:<18} {told}  ({monotonic() - began:.0f} s)")
    return ran


async def _turn(subject: Subject, grounds: Grounds, sizes: Sizes, prefix: str, ran: Ran) -> str:
    try:
        turn = await take_turn(subject, grounds, sizes, prefix)
    except* (StackFailed, OSError, TimeoutError) as wrong:
        ran.faults[subject.name] = reason(wrong)
    if subject.name in ran.faults:
        return f"DID NOT RUN: {ran.faults[subject.name]}"
    ran.turns[subject.name].append(turn)
    return f"{turn.per_s:8,.0f}/s  {turn.cpu_ms:6.2f} ms of CPU a command  p99 {turn.paced_p99_ms:,.0f} ms"


def reason(wrong: BaseException) -> str:
    """The first leaf's words."""
    while isinstance(wrong, BaseExceptionGroup):
        wrong = wrong.exceptions[0]
    return str(wrong) or type(wrong).__name__
