"""What Redis holds under one prefix, put under another as well: so that a switch to it does not send every reader to PostgreSQL.

Each value is read from PostgreSQL anew, under the fill lease of its key, by the rules of a query's fill: what changes meanwhile is
refreshed by the projector, which takes the lease over. So nothing older can land, and it may be ended and begun again at any moment.
The value under the old prefix is brought to the same by the same call: who reads the new one and then the old does not go back.
"""

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from readmodel import auditing
from readmodel.cache import Cache
from readmodel.database import Database, Shown, database_errors
from readmodel.entries import encode, prefix, ttl_ms
from readmodel.refreshing import Keys, load_together

if TYPE_CHECKING:
    from redis.asyncio import Redis

VALUES_A_CALL: Final = 50


class Warming:
    """From what is read now to what is to be. `database`: of any generation; `cache`: any of the stack."""

    def __init__(self, client: "Redis", cache: Cache, database: Database, pair: tuple[Shown, Shown]) -> None:
        self._client, self._cache, self._database = client, cache, database
        self._old, self._new = pair
        self._source, self._target = prefix(cache.stack, *self._old), prefix(cache.stack, *self._new)
        self.looked = 0
        self.put = 0
        """Values, the old ones that were brought up as well."""

    async def run(self) -> None:
        """All that is held when it begins. Raises DatabaseUnavailable, CacheUnavailable."""
        held = auditing.Values(self._client, self._source)
        async for page in held.keys():
            versions = zip(page, await held.versions(page), strict=True)
            names = sorted({key.removeprefix(self._source) for key, version in versions if version not in (None, auditing.ABSENT)})
            self.looked += len(names)
            for start in range(0, len(names), VALUES_A_CALL):
                await self._some(names[start : start + VALUES_A_CALL])

    async def _some(self, names: Sequence[str]) -> None:
        nonce = secrets.token_hex(8)
        places = await self._cache.lease([f"{self._target}{name}" for name in names], nonce)
        keys: Keys = {}
        for name in (names[place] for place in places):
            keys[f"{self._target}{name}"] = (self._new.generation, self._target)
            keys[f"{self._source}{name}"] = (self._old.generation, self._source)
        if not keys:
            return
        with database_errors():
            found = await load_together(self._database, keys)
        values = [(encode(*found[key]), ttl_ms(found[key][0], key)) for key in keys]
        self.put += await self._cache.refresh(list(keys), nonce, values)
