"""What is posted: which kind, about which comment, by whom, with what text. Pure: the same seed gives the same script.

A comment has at most one command under way, and each waits for the answer to the one before, so the order in which the stream must
hold them is known: the numbers of a generator's commands rise along every stream.
"""

import random
from array import array
from enum import IntEnum
from typing import Final

import msgspec
from msgspec import Struct

TEXTS: Final = 256
"""Texts made beforehand; every command adds its number, so that no two are alike and every edit changes something."""
TRIES: Final = 8
"""To find a comment that is free before another one is created instead."""
_WORDS: Final = (
    "light", "blue", "what a view", "où est-ce ?", "Wunderschön", "¿dónde?", "光", "すばらしい", "張照片", "جميل", "رائعة", "נהדר", "תמונה",
    "красота", "где это", "정말 예뻐요", "सुंदर", "όμορφη", "สวยมาก", "tuyệt đẹp",
    "🌊", "😀", "👩‍👩‍👧‍👦", "🏳️‍🌈", "a\u0301", "x < y && z", '"quoted"',
)  # fmt: skip


class Kind(IntEnum):
    CREATE = 0
    UPDATE = 1
    DELETE = 2
    READ = 3


class Shape(Struct, frozen=True):
    """What the load is made of. Shares need not add up to anything."""

    create: float = 70.0
    update: float = 20.0
    delete: float = 10.0
    read: float = 0.0
    text: int = 0
    """Characters of every text; 0: as people write, in many scripts, 1 to some thousand."""
    skew: float = 0.0
    """0: every comment and picture alike; else the exponent of a Zipf-like choice, the oldest the hottest."""
    pictures: int = 1000
    authors: int = 200


class Ask(Struct):
    """One request to be made. `number` counts this generator's commands; a read has none (-1)."""

    kind: Kind
    number: int
    comment: int
    """Number of the command that created it."""
    author: int
    picture: int
    text: bytes
    """JSON, without its quotes."""


class State(IntEnum):
    """What the generator knows of one of its commands."""

    POSTED = 0
    ACCEPTED = 1
    REFUSED = 2


class Script:
    """Chooses what comes next; told what became of it."""

    def __init__(self, shape: Shape, seed: int) -> None:
        self._shape = shape
        self._chance = random.Random(seed)
        self._texts = [_text(self._chance, shape.text) for _ in range(TEXTS)]
        self._kinds = (shape.create, shape.create + shape.update, shape.create + shape.update + shape.delete)
        self._all = self._kinds[-1] + shape.read
        self._free: list[int] = []
        """Comments that are there and have nothing under way."""
        self._readable: list[tuple[int, str]] = []
        """(comment, token) of commands whose outcome was waited for."""
        self._authors: dict[int, int] = {}
        self.states = bytearray()
        self.targets = array("I")
        """Of each command, the comment it is about."""

    def next(self) -> Ask:
        """A read needs a token, and a change a comment that is free: without one it is a creation."""
        drawn = self._chance.random() * self._all
        if drawn >= self._kinds[2] and self._readable:
            return self._read()
        if drawn >= self._kinds[0] and self._free and drawn < self._kinds[2]:
            return self._change(Kind.UPDATE if drawn < self._kinds[1] else Kind.DELETE)
        return self._create()

    def accepted(self, ask: Ask) -> None:
        """It was answered 202, or with its outcome."""
        self.states[ask.number] = State.ACCEPTED
        if ask.kind is Kind.DELETE:
            self._authors.pop(ask.comment, None)
        else:
            self._free.append(ask.comment)

    def refused(self, ask: Ask) -> None:
        """It was never accepted; what it was about is as it was."""
        self.states[ask.number] = State.REFUSED
        if ask.kind is not Kind.CREATE:
            self._free.append(ask.comment)

    def readable(self, ask: Ask, token: str) -> None:
        """A read may be held to this from now on."""
        if ask.kind is not Kind.DELETE and self._shape.read:
            self._readable.append((ask.comment, token))
            if len(self._readable) > 1000:
                del self._readable[:500]

    def token(self, ask: Ask) -> str:
        """Of a read: what it is held to."""
        return ask.text.decode()

    def _number(self, comment: int | None) -> int:
        number = len(self.states)
        self.states.append(State.POSTED)
        self.targets.append(number if comment is None else comment)
        return number

    def _create(self) -> Ask:
        number = self._number(None)
        author = self._chance.randrange(self._shape.authors)
        self._authors[number] = author
        return Ask(Kind.CREATE, number, number, author, self._place(self._shape.pictures), self._text(number))

    def _change(self, kind: Kind) -> Ask:
        place = self._place(len(self._free))
        comment = self._free[place]
        self._free[place] = self._free[-1]
        self._free.pop()
        number = self._number(comment)
        return Ask(kind, number, comment, self._authors[comment], 0, self._text(number))

    def _read(self) -> Ask:
        comment, token = self._readable[self._place(len(self._readable))]
        return Ask(Kind.READ, -1, comment, 0, 0, token.encode())

    def _place(self, count: int) -> int:
        """An index below `count`: the lower the likelier, with a skew."""
        drawn = self._chance.random()
        return int(count * (drawn ** (1.0 + 2.0 * self._shape.skew) if self._shape.skew else drawn))

    def _text(self, number: int) -> bytes:
        return b"%s #%d" % (self._texts[number % TEXTS], number)


def _text(chance: random.Random, characters: int) -> bytes:
    """Most comments are short, a few are long."""
    wanted = characters or max(1, min(9_000, int(chance.lognormvariate(4.0, 1.0))))
    words: list[str] = []
    length = 0
    while length < wanted:
        words.append(chance.choice(_WORDS))
        length += len(words[-1]) + 1
    room = wanted - 12 if characters > 20 else wanted
    return msgspec.json.encode(" ".join(words)[: max(1, room)])[1:-1]
