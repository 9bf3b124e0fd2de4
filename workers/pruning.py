"""Lease rows of shards that are gone are deleted, so that the table does not grow for ever; nothing else is."""

import random
from collections.abc import Iterable
from typing import Final

from runtime import logs
from runtime.aws import AwsRefused
from workers.lease import Leases
from workers.shards import Row, Shard
from workers.stream import EventStream, StreamGone

PRUNE_SECONDS: Final = 900.0
_LOG: Final = logs.get("shards")


class Pruner:
    """Looks through all lease rows of one prefix, now and then. Any process may, at any time: each deletion is conditional on the row."""

    def __init__(self, stream: EventStream, leases: Leases) -> None:
        self._stream, self._leases = stream, leases
        self._due = leases.clock() + PRUNE_SECONDS * random.random()  # noqa: S311 - so that processes take turns
        self._once: set[str] = set()
        """Seen to be deletable last time: what one answer says may be incomplete."""

    async def prune(self, arn: str) -> None:
        """When it is due. `arn`: the stream of now; those before it have the same name but for its end. Raises Retryable."""
        if self._leases.clock() < self._due:
            return
        self._due = self._leases.clock() + PRUNE_SECONDS
        by_label: dict[str, dict[str, Row]] = {}
        for row in await self._leases.all():
            _, label, shard = row.key.split("#", 2)
            by_label.setdefault(label, {})[shard] = row
        found: dict[str, Row] = {}
        for label, rows in by_label.items():
            try:
                shards = await self._stream.shards(f"{arn.rpartition('/')[0]}/{label}")
            except StreamGone:
                shards = None
            except AwsRefused as wrong:  # no name of a stream: a row of somebody's own
                _LOG.warning("stream not described", action="prune", stream=label, error=wrong.code)
                continue
            found |= {row.key: row for row in deletable(rows, shards)}
        for key in self._once & found.keys():
            if await self._leases.delete(found[key]):
                _LOG.info("lease row deleted", action="prune", lease=key)
        self._once = set(found)


def deletable(rows: dict[str, Row], shards: Iterable[Shard] | None) -> list[Row]:
    """Of one stream's rows by shard; `shards`: as listed now, None when the stream itself is gone.

    The row of a shard that was read to its end outlives it until its children have rows too: so a child that has none, of a parent that
    is gone and has none, was surely never reached by any reader.
    """
    if shards is None:
        return list(rows.values())
    listed = {shard.id: shard for shard in shards}
    awaited = {shard.parent for shard in listed.values() if shard.id not in rows}
    return [row for shard, row in rows.items() if shard not in listed and shard not in awaited and row.progress.ended]
