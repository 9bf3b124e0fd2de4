"""Commands and domains for tests of the write side, short to write."""

from itertools import count
from typing import Any, Final

import msgspec
from msgspec import Raw

from events.comments.commands import COMMANDS
from events.comments.decider import DECIDER
from events.comments.events import STORED
from events.domain import Domain, Registry
from events.envelope import Command
from events.history import History
from events.ids import CommandId, StreamId, fingerprint
from runtime.times import Micros
from tests.support import ledger

COMMENTS: Final = Domain(type="comment", commands=COMMANDS, events=STORED, decider=DECIDER)
REGISTRY: Final = Registry([COMMENTS, ledger.DOMAIN])
_NUMBERS = count(1)


def said(name: str, data: dict[str, Any], key: str = "", **fields: Any) -> Command:
    """A command as the gateway would have sent it; its stream follows from its data."""
    encoded = msgspec.json.encode(data)
    ident = data.get("comment_id") or data.get("account_id") or "1"
    number = next(_NUMBERS)
    envelope: dict[str, Any] = {
        "id": CommandId(key or f"k{number}"),
        "name": name,
        "stream": StreamId(f"{'account' if name.startswith('account') else 'comment'}-{ident}"),
        "data": Raw(encoded),
        "fingerprint": fingerprint(name, encoded),
        "accepted_at": Micros(number),
        "actor": "ann",
    }
    return Command(**(envelope | fields))


def create(ident: str = "1", text: str = "hello", key: str = "", **fields: Any) -> Command:
    return said("comment.create", {"picture_id": "p", "text": text, "comment_id": ident}, key, **fields)


def update(ident: str = "1", text: str = "hello", key: str = "", **fields: Any) -> Command:
    return said("comment.update", {"comment_id": ident, "text": text}, key, **fields)


def delete(ident: str = "1", key: str = "", **fields: Any) -> Command:
    return said("comment.delete", {"comment_id": ident}, key, **fields)


def empty(stream: str = "comment-1") -> History:
    domain = REGISTRY.of_stream(stream)
    assert domain is not None
    return History(StreamId(stream), domain.decider)


def told(history: History) -> tuple[object, ...]:
    """Everything a later decision may depend on, the order of the window included."""
    return history.version, history.commit_first, history.at, history.state, list(history.seen.items()), history.floor
