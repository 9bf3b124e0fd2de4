"""Schedules of the model by seed: what is sent, who works when, and what befalls the store. Much faster than a search that shrinks."""

import random
from typing import Any, Final

from events.envelope import Command
from tests.support.group_model import Group
from tests.support.said import create, delete, said, update
from tests.support.scripted_store import APPENDS, READS, ScriptedStore

TURNS: Final = 8
SNAPSHOTS: Final = ("lost", "other", "ahead")


def schedule(seed: int, limit: int) -> Group:
    """Messages and a store that misbehaves."""
    chance = random.Random(seed)
    sent: list[list[Command]] = []
    for _ in range(chance.randint(2, 9)):
        old = [command for parcel in sent for command in parcel]
        sent.append([_next(chance, old, dense=bool(seed % 2)) for _ in range(chance.randint(1, 4))])
    turns = chance.choice([0, 0, 2, 4])
    store = ScriptedStore(lambda kind: _fault(chance, kind), lambda: chance.randint(0, turns))
    snapshots = random.Random(-seed)
    return Group(
        store,
        [(f"m{number}", parcel) for number, parcel in enumerate(sent)],
        limit=limit,
        befalls=lambda: snapshots.choice(["", "", "", *SNAPSHOTS]),
    )


async def live(group: Group, seed: int) -> list[str]:
    """Some turns as they come, then until nothing is left; everything that is wrong."""
    chance = random.Random(-seed)
    for _ in range(chance.randint(0, TURNS)):
        first = chance.randint(0, 1)
        await group.turn(
            first,
            chance.randint(1, 3),
            lapse=chance.random() < (0.7 if seed % 3 == 0 else 0.35),
            delete=chance.random() < 0.6 and chance.choice([True, True, True, 2, 3]),
            crash=chance.random() < 0.2,
            second=chance.choice([None, first, first] if seed % 3 == 0 else [None, first]),
        )
    for number in range(100):
        if not group.messages:
            break
        await group.turn(number % 2, 1, lapse=False, delete=True, crash=False)
    return await group.verdict() + await group.believed()


def _next(chance: random.Random, old: list[Command], *, dense: bool) -> Command:
    """A repeat or something new; dense: all of it about one comment."""
    if old and chance.random() < 0.3:
        return chance.choice(old)
    if old and chance.random() < 0.1:
        return _another(chance.choice(old))
    ident = "1" if dense else chance.choice("112")
    return _command(chance, ident, dense=dense)


def _another(used: Command) -> Command:
    """Another payload under a used id of the same stream; accepted with it, since what is accepted later than the window is new."""
    fields: dict[str, Any] = {"key": used.id, "actor": used.actor, "accepted_at": used.accepted_at}
    if used.name.startswith("account"):
        return said("account.book", {"account_id": "1", "entries": [9]}, **fields)
    return update(used.stream.removeprefix("comment-"), "c", **fields)


def _fault(chance: random.Random, kind: str) -> str:
    if kind == "append":
        return chance.choice(["", "", "", *APPENDS])
    return chance.choice(["", "", "", "", *READS])


def _command(chance: random.Random, ident: str, *, dense: bool) -> Command:
    text, actor = chance.choice("ab"), chance.choice(["ann", "ann", "bob"])
    kind = chance.choice([0, 1, 2, 3, 3, 3, 4]) if dense else chance.randrange(7)
    if kind == 0:
        return create(ident, text, actor=actor)
    if kind in (1, 2):
        return update(ident, text, actor=actor, expected_version=chance.choice([None, 0, 1, 2]))
    if kind == 3:
        return update(ident, text, actor=actor)
    if kind == 4:
        return delete(ident, actor=actor)
    if kind == 5:
        return said("account.open", {"account_id": "1"})
    return said("account.book", {"account_id": "1", "entries": [chance.randint(-2, 3) for _ in range(chance.randint(0, 2))]})
