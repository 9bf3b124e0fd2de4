"""Keeping Redis no older than PostgreSQL: after a change, what Redis holds of it is read again and put over the older value.

The order of steps is what makes it right. (1) PostgreSQL covers the change. (2) It is asked what is fed. (3) One call finds which keys
are held or have a fill under way, and takes those fills' leases over. (4) Their rows are read. (5) They are put by compare-and-set, only
where still held or under our lease. A query that misses after (3) reads PostgreSQL after (1), so it sees the change; one that missed
before (3) has lost its lease. Nothing older can be put after (5), and nothing at all is put where nobody asked.

While two generations are fed, a thing has a key under the prefix of each. Each is put from its own generation's rows, and both by one
call: who reads the one and then the other does not go back. A prefix that is fed only after (2) was empty until then, and whoever fills
it reads PostgreSQL after (1).
"""

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any, Final, NamedTuple

from events.domain import Registry
from events.ids import StreamId
from readmodel.cache import Cache
from readmodel.comments.cached import Found, keys_of, load_keys
from readmodel.control import CACHE, POSITIONS, READ_MODEL
from readmodel.database import Database, database_errors
from readmodel.entries import encode, prefix, ttl_ms
from readmodel.errors import DatabaseUnavailable, NoSchema
from readmodel.feeding import all_fed
from readmodel.progress import Progress, Reached
from readmodel.writing import write_rows

KEYS_A_CALL: Final = 1_000
VALUES_A_CALL: Final = 50
"""Of up to 100 comments each: what one call carries stays bounded."""
LOOK_SECONDS: Final = 1.0
"""How long it is believed which generation is read, where nothing depends on it but time."""


class _Fed(NamedTuple):
    """Generations of the read model, and the prefixes of what Redis keeps of each."""

    current: int
    prefixes: dict[int, list[str]]


Keys = dict[str, tuple[int, str]]
"""A key, and of which generation and under which prefix it is; what belongs together stands together."""


class Refresher:
    """For all generations that are fed. Raises DatabaseUnavailable or CacheUnavailable (Retryable); repeating it does no harm."""

    def __init__(self, database: Database, cache: Cache, registry: Registry) -> None:
        self._database, self._cache, self._registry = database, cache, registry
        self._shown, self._looked_at = database.generation, monotonic()
        self._progress: dict[int, Progress] = {}

    async def reached(self, streams: Sequence[StreamId]) -> dict[StreamId, Reached]:
        """How far PostgreSQL is, in the generation that is read."""
        with self._generations_go():
            if monotonic() - self._looked_at > LOOK_SECONDS:
                await self._fed()
            progress = self._progress.get(self._shown)
            if progress is None:
                progress = self._progress[self._shown] = Progress(self._registry, self._shown)
            async with self._at(self._shown).engine.connect() as connection:
                return await progress.reached(connection, streams)

    async def refresh(self, passed: Mapping[StreamId, Reached]) -> int:
        """Make Redis no older than these positions, and note that it is. How many values were put."""
        nonce = secrets.token_hex(8)
        put = 0
        with self._generations_go():
            fed = await self._fed()
            keys = await self._keys(passed, fed)
            for part in _parts(keys, KEYS_A_CALL):
                held = [part[place] for place in await self._cache.held(part, nonce)]
                for few in _parts({key: keys[key] for key in held}, VALUES_A_CALL):
                    put += await self._put({key: keys[key] for key in few}, nonce)
            stuck = [stream for stream, reached in passed.items() if reached.stuck]
            if stuck:  # what PostgreSQL has of a parked stream stands still; let nobody believe that it is new
                await self._cache.drop(list(await self._keys(stuck, fed)))
            await self._advance(passed, fed)
        return put

    async def _fed(self) -> _Fed:
        async with self._database.engine.connect() as connection:
            found = await all_fed(connection)
        if READ_MODEL not in found or CACHE not in found:
            raise NoSchema("no generation of the read model; run `headrace provision`")
        models, caches = found[READ_MODEL], found[CACHE]
        self._shown, self._looked_at = models.current, monotonic()
        prefixes = {model: [prefix(self._cache.stack, model, cache) for cache in caches.generations] for model in models.generations}
        return _Fed(models.current, prefixes)

    def _at(self, generation: int) -> Database:
        return self._database if generation == self._database.generation else self._database.at(generation)

    async def _keys(self, streams: Iterable[StreamId], fed: _Fed) -> Keys:
        found: dict[str, Keys] = {}
        for generation, prefixes in fed.prefixes.items():
            async with self._at(generation).engine.connect() as connection:
                names = await keys_of(connection, "", streams)
            for name in names:
                found.setdefault(name, {}).update({f"{each}{name}": (generation, each) for each in prefixes})
        return {key: where for keys in found.values() for key, where in keys.items()}

    async def _put(self, keys: Keys, nonce: str) -> int:
        found = await load_together(self._database, keys)
        values = [(encode(*found[key]), ttl_ms(found[key][0], key)) for key in keys]
        return await self._cache.refresh(list(keys), nonce, values)

    async def _advance(self, passed: Mapping[StreamId, Reached], fed: _Fed) -> None:
        rows: list[dict[str, Any]] = []
        for stream in sorted(passed):
            place = passed[stream].place()
            if place is not None and not passed[stream].cached(place.version):
                rows.append({"projector": CACHE, "stream": stream, **place._asdict()})
        if rows:
            async with self._database.engine.begin() as connection:
                for generation in fed.prefixes:
                    await write_rows(self._database.within(connection, generation), POSITIONS, rows)

    @contextmanager
    def _generations_go(self) -> Iterator[None]:
        """One that was dropped just now is no fault: the next look knows of it."""
        try:
            with database_errors():
                yield
        except NoSchema as wrong:
            self._looked_at = 0.0
            raise DatabaseUnavailable(str(wrong)) from wrong


async def load_together(database: Database, keys: Keys) -> dict[str, Found]:
    """What PostgreSQL has for each key in its generation; of several generations at one moment, at which they agree."""
    places: dict[tuple[int, str], list[str]] = {}
    for key, where in keys.items():
        places.setdefault(where, []).append(key)
    found: dict[str, Found] = {}
    async with database.engine.connect() as connection:
        if len(places) > 1:
            await connection.execution_options(isolation_level="REPEATABLE READ")
        for (generation, place), mine in places.items():
            if generation != database.generation or len(places) > 1:
                await database.turn(connection, generation)
            found |= await load_keys(connection, place, mine)
    return found


def _parts(keys: Keys, size: int) -> Iterator[list[str]]:
    """About so many a part; one thing's keys stay together."""
    part: list[str] = []
    name = ""
    for key, (_, place) in keys.items():
        if len(part) >= size and key.removeprefix(place) != name:
            yield part
            part = []
        part.append(key)
        name = key.removeprefix(place)
    if part:
        yield part
