"""Which turns an axis is made of, and the commands of each. Pure.

A turn is so many commands, posted as fast as they are taken. Comments are named `RUN-NUMBER`, so that one axis can go on with the comments
of another; what a turn does to them is told by its commands alone.
"""

import random
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from gateway.client import Command
from loadtest.flood import creation

COMMANDS: Final = 10_000
"""Of a turn, on the axes on which their number does not grow."""
TEXT: Final = "The light on the water is what makes this one, and the mill behind it hardly matters. "
UPDATE_CHARACTERS: Final = 200


class Turn(NamedTuple):
    """`at`: where on the axis. `creates`: comments that are there afterwards and were not before."""

    at: float
    label: str
    commands: int
    creates: int
    given: Callable[[], Iterator[Command]]
    measured: bool = True


class Run(NamedTuple):
    """`first`: the number of the first comment that is not there yet."""

    name: str
    first: int

    def comment(self, number: int) -> str:
        return f"{self.name}-{number}"


def creations(run: Run, count: int, characters: int = 0) -> Callable[[], Iterator[Command]]:
    """Each its own stream. `characters`: length of the texts; 0: as `creation` has it (188)."""
    text = said(characters)

    def given() -> Iterator[Command]:
        for number in range(run.first, run.first + count):
            command = creation(run.comment(number))
            yield Command(command.name, command.data | {"text": text}, command.id) if characters else command

    return given


def updates(run: Run, count: int, ident: str, numbers: Callable[[random.Random], int]) -> Callable[[], Iterator[Command]]:
    """Of comments that are there, each as `numbers` draws it; the same ones every time. `ident` is this turn's own."""

    def given() -> Iterator[Command]:
        chance = random.Random(7)  # noqa: S311 - the same turns every time
        text = said(UPDATE_CHARACTERS)
        for number in range(count):
            words = f"{number:07} {ident} {text}"[:UPDATE_CHARACTERS]  # one that is there already would change nothing
            data = {"comment_id": run.comment(numbers(chance)), "text": words}
            yield Command("comment.update", data, f"{ident}-{number}")

    return given


def said(characters: int) -> str:
    """A text of that length."""
    return (TEXT * (characters // len(TEXT) + 1))[:characters]


def by_commands(run: Run, points: tuple[int, ...]) -> list[Turn]:
    """Ever more creations: each turn as many as were stored up to the point before it lacks."""
    turns, there = list[Turn](), run.first
    for point in points:
        count = point - (there - run.first)
        turns.append(Turn(point, f"{point:,}", count, count, creations(Run(run.name, there), count)))
        there += count
    return turns


def by_stored(run: Run, points: tuple[int, ...], commands: int, rounds: int) -> list[Turn]:
    """The same creations over ever more that is stored: an unmeasured turn up to the point, then measured ones."""
    turns, there = list[Turn](), run.first
    for point in points:
        missing = point - (there - run.first)
        if missing > 0:
            turns.append(Turn(point, f"up to {point:,}", missing, missing, creations(Run(run.name, there), missing), measured=False))
            there += missing
        for _ in range(rounds):
            turns.append(Turn(point, f"{point:,}", commands, commands, creations(Run(run.name, there), commands)))
            there += commands
    return turns


def by_streams(run: Run, points: tuple[int, ...], commands: int, number: int) -> list[Turn]:
    """The same number of updates over ever more streams, drawn evenly from the `run.first` that are there. `number`: of the round."""
    return [
        Turn(point, f"{point:,}", commands, 0, updates(run, commands, f"{run.name}-{number}-to-{point}", _evenly(point)))
        for point in points
    ]


def by_heat(run: Run, points: tuple[int, ...], commands: int, number: int) -> list[Turn]:
    """Updates of which so many per cent go to one comment, the others evenly to all that are there."""
    return [
        Turn(point, f"{point} %", commands, 0, updates(run, commands, f"{run.name}-{number}-hot-{point}", _hot(point / 100, run.first)))
        for point in points
    ]


def by_text(run: Run, points: tuple[int, ...], commands: int) -> list[Turn]:
    """Creations of ever longer texts."""
    turns, there = list[Turn](), run.first
    for point in points:
        turns.append(Turn(point, f"{point:,}", commands, commands, creations(Run(run.name, there), commands, point)))
        there += commands
    return turns


def _evenly(count: int) -> Callable[[random.Random], int]:
    return lambda chance: chance.randrange(count)


def _hot(share: float, count: int) -> Callable[[random.Random], int]:
    return lambda chance: 0 if chance.random() < share else chance.randrange(count)
