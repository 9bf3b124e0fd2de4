"""As many commands as the stack will take: through the batch route by our own client, some requests at once, and who has arrived."""

import asyncio
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final
from zlib import crc32

from events.ids import StreamId, Version
from events.store import EventStore
from gateway.client import Client, Command
from headrace.errors import StackFailed

LINES: Final = 500
"""Of one request."""
AT_ONCE: Final = 8
KEYS: Final = 2_000
"""Looked up at a time."""
FAULTS: Final = 20
"""Told in words."""
_TEXT: Final = "The light on the water is what makes this one. " * 4
Wanted = tuple[StreamId, Version, str]
"""A commit, by its stream and first version, and the id of the command that it must tell of."""


def creation(comment: str) -> Command:
    """Of a comment of that id, under the command's id `new-ID`."""
    data = {"comment_id": comment, "picture_id": f"p{crc32(comment.encode()) % 100}", "text": _TEXT}
    return Command("comment.create", data, f"new-{comment}")


def update(comment: str) -> Command:
    """Another text, under `upd-ID`: at most one of a comment."""
    return Command("comment.update", {"comment_id": comment, "text": _TEXT[::-1]}, f"upd-{comment}")


def deletion(comment: str) -> Command:
    """Under `del-ID`."""
    return Command("comment.delete", {"comment_id": comment}, f"del-{comment}")


def stream_of(comment: str) -> StreamId:
    """A comment's."""
    return StreamId(f"comment-{comment}")


async def flood(client: Client, commands: Iterable[Command]) -> None:
    """All of them, each request's worth as soon as another one was answered. Raises StackFailed when one was refused for good."""
    left = iter(commands)
    async with asyncio.TaskGroup() as posting:
        for _ in range(AT_ONCE):
            posting.create_task(_one_after_another(client, left))


async def _one_after_another(client: Client, left: Iterator[Command]) -> None:
    while part := list(islice(left, LINES)):
        await post(client, part)


async def post(client: Client, part: list[Command]) -> None:
    """One request's worth, accepted. Raises StackFailed when one was refused for good, Unavailable."""
    async for receipt in client.batch(part):
        if receipt.status != "pending":
            raise StackFailed(f"command {receipt.command_id or receipt.line} was answered {receipt.status} {receipt.code} {receipt.reason}")


async def singly(client: Client, commands: Iterable[Command], at_once: int) -> None:
    """All of them, one post each, so many under way. Raises StackFailed when one was refused for good, Unavailable."""
    left = iter(commands)

    async def post_on() -> None:
        for command in left:
            receipt = await client.post(command.name, command.data, command_id=command.id)
            if receipt.status != "pending":
                raise StackFailed(f"command {command.id} was answered {receipt.status} {receipt.code} {receipt.reason}")

    async with asyncio.TaskGroup() as posting:
        for _ in range(at_once):
            posting.create_task(post_on())


async def not_there(store: EventStore, wanted: Iterable[Wanted]) -> tuple[int, list[str]]:
    """(how many are there, what is wrong with the others): read by key, since a scan costs an emulator all its time."""
    left, there, faults = iter(wanted), 0, list[str]()
    while part := list(islice(left, KEYS)):
        found = (await store.read([(stream, version) for stream, version, _ in part])).commits
        for stream, version, command in part:
            commit = found.get((stream, version))
            if commit is not None and commit.recorded()[0].command_id == command:
                there += 1
            elif len(faults) < FAULTS:
                faults.append(f"I1 {stream}: command {command} was accepted, and is not at version {version}")
    return there, faults
