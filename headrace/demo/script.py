"""What the demo posts: comments in several scripts, some edited, some deleted. Pure: the same seed gives the same script."""

import random
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

AUTHORS: Final = 20
PICTURES: Final = 50
_OPENINGS: Final = (
    "What a light in this one!", "Das Blau ist unglaublich 💙", "¿Dónde tomaste esta foto? 📷", "這張照片真美，謝謝分享",
    "光の入り方がすばらしい✨", "صورة رائعة جدًا، أحسنت 👏", "תמונה נהדרת, תודה!", "Какая красота! Где это снято?",
    "사진이 정말 예뻐요 🌸", "यह तस्वीर बहुत सुंदर है", "Quelle composition, bravo 🇫🇷", "Πολύ όμορφη φωτογραφία",
    "ภาพสวยมากเลย 🐘", "Tuyệt đẹp! 🏞️", "family: 👩‍👩‍👧‍👦, flag: 🏳️‍🌈, a\u0301 combined", "mixed: abc עברית 123 عربى",
)  # fmt: skip
_ENDINGS: Final = ("", " 😀", "\nSecond line.", ' — x < y && z > "w"', " \u202emirrored\u202c", "\t(tabbed)", " \\ and / and '")


class Post(Struct, frozen=True):
    """One command as the demo's caller will post it. `subject` numbers the comment it is about, from 0."""

    subject: int
    kind: str
    """`create`, `update` or `delete`."""
    author: str
    picture: str
    text: str
    key: str
    """Its `Idempotency-Key`: a post without an answer is repeated under it."""


class Sizes(Struct, frozen=True):
    """How many of each kind."""

    creates: int = 700
    updates: int = 200
    deletes: int = 100


def threads(sizes: Sizes, seed: int, run: str) -> Iterator[list[Post]]:
    """One list a comment: its creation and what follows, to be posted in this order. `run` makes the keys this run's own."""
    chance = random.Random(seed)
    updates, deletes = _spread(sizes, chance)
    for subject in range(sizes.creates):
        author, picture = f"author-{chance.randrange(AUTHORS):02}", f"picture-{chance.randrange(PICTURES):02}"
        kinds = ["create", *["update"] * updates.get(subject, 0), *["delete"] * deletes.get(subject, 0)]
        yield [
            Post(subject, kind, author, picture, _text(chance, number), f"{run}-{subject}-{number}") for number, kind in enumerate(kinds)
        ]


def _spread(sizes: Sizes, chance: random.Random) -> tuple[dict[int, int], dict[int, int]]:
    updates: dict[int, int] = {}
    for _ in range(sizes.updates):
        subject = chance.randrange(sizes.creates)
        updates[subject] = updates.get(subject, 0) + 1
    return updates, dict.fromkeys(chance.sample(range(sizes.creates), sizes.deletes), 1)


def _text(chance: random.Random, number: int) -> str:
    """No two texts of one comment are alike, so that every edit changes something."""
    return f"{chance.choice(_OPENINGS)}{chance.choice(_ENDINGS)} #{number}"
