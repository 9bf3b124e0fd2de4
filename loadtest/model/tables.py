"""The model's answers as Markdown. Pure."""

from collections.abc import Callable, Sequence
from typing import Final

from loadtest.model.facts import ROLES
from loadtest.model.hops import Hops
from loadtest.model.limits import Limit

NEAREST: Final = 4
_LINES: Final[dict[str, Callable[[Hops], str]]] = {
    "partitions": lambda at: f"{at.partitions}",
    **{role: lambda at, role=role: f"{at.processes[role]:,}" for role in ROLES},  # type: ignore[misc]
    "shards of the stream": lambda at: f"{at.shards:,}",
    "commands a parcel": lambda at: _short(at.commands_a_parcel),
    "SendMessageBatch a second": lambda at: _short(at.sends),
    "ReceiveMessage a second, commands": lambda at: _short(at.receives),
    "PartiQL batches of 25 a second": lambda at: _short(at.appends),
    "GetRecords a second, both readers": lambda at: _short(at.reads),
    "PublishBatch a second": lambda at: _short(at.publishes),
    "messages to the topic a second": lambda at: _short(at.messages),
    "commits a message": lambda at: _short(at.commits_a_message),
    "ReceiveMessage a second, each projector": lambda at: _short(at.projector_receives),
    "AWS, $ per million commands": lambda at: f"{at.dollars_a_million:.2f}",
    "AWS, $ an hour": lambda at: f"{at.dollars_an_hour:,.0f}",
}


def tables(found: Sequence[Hops], met: Sequence[Sequence[Limit]]) -> str:
    """What each rate takes, then what it meets."""
    head = ["commands a second", *(f"{at.rate:,.0f}" for at in found)]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    lines += ["| " + " | ".join([name, *(told(at) for at in found)]) + " |" for name, told in _LINES.items()]
    for at, some in zip(found, met, strict=True):
        lines += ["", f"At {at.rate:,.0f} commands a second, the nearest limits:", "", "| limit | used | allowed | share | moved by |"]
        lines.append("|---|---|---|---|---|")
        lines += [
            f"| {each.name} | {_short(each.used)} | {_short(each.allowed)} | {each.share:.0%} | {each.moved_by} |"
            for each in some[:NEAREST]
        ]
    return "\n".join(lines)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"
