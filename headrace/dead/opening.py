"""A dead-lettered message opened: the commands or commits that are in it. Pure."""

from typing import Any, Final

from msgspec import structs

from events.envelope import Command, Commit
from events.ids import Partition, partition_of
from events.parcel import NewerParcel, Stub, UnreadableParcel, encode_command, pack_commands, read_commands, read_commits
from runtime.errors import Fatal
from runtime.times import rfc3339
from workers.dead_letters import DeadLetter

COMMANDS: Final = "commands"


class NotRedrivable(Fatal):
    """It cannot be read, so there is nowhere to send it."""


def shown(queue: str, letter: DeadLetter) -> dict[str, Any]:
    """What people see; never the data of a command, which is its caller's."""
    head = {"message_id": letter.message_id, "reason": letter.reason, "since": rfc3339(letter.sent_at), "receives": letter.receives}
    try:
        if queue == COMMANDS:
            return head | {COMMANDS: [_command(each) for each in read_commands(letter.body).commands]}
        parcel = read_commits(letter.body)
        both: list[Commit | Stub] = [*parcel.commits, *parcel.stubs]
        commits = [{"stream": each.stream, "first": each.first, "last": each.last} for each in both]
        return head | {"commits": commits}
    except (UnreadableParcel, NewerParcel) as wrong:
        return head | {"unreadable": str(wrong)}


def ids(queue: str, letter: DeadLetter) -> set[str]:
    """By what the message may be named: its own id and those of its commands."""
    return {letter.message_id, *(each["id"] for each in shown(queue, letter).get(COMMANDS, ()))}


def again(letter: DeadLetter, partitions: int) -> dict[str, str]:
    """Bodies by message group: its commands, marked as redriven. Raises NotRedrivable."""
    try:
        commands = read_commands(letter.body).commands
    except (UnreadableParcel, NewerParcel) as wrong:
        raise NotRedrivable(str(wrong)) from wrong
    bodies: dict[Partition, list[bytes]] = {}
    for command in commands:
        redriven = encode_command(structs.replace(command, redriven=True))
        bodies.setdefault(partition_of(command.stream, partitions), []).append(redriven)
    return {f"p{partition}": pack_commands(partition, envelopes, partitions) for partition, envelopes in bodies.items()}


def _command(command: Command) -> dict[str, Any]:
    return {
        "id": command.id,
        "name": command.name,
        "stream": command.stream,
        "actor": command.actor,
        "accepted_at": rfc3339(command.accepted_at),
    }
