"""The lock of rebuilds: kept by a beat, one holder, and known to be gone when its connection was cut."""

import pytest
from sqlalchemy import text

from headrace.rebuild import alone as module
from headrace.rebuild.alone import AnotherRebuild, alone
from readmodel.database import Database
from readmodel.errors import DatabaseUnavailable
from runtime.settings import Settings

_CUT = """
    SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
    WHERE datname = current_database() AND locktype = 'advisory' AND objsubid = 1 AND granted
"""


async def test_it_beats_and_tells_when_the_lock_is_gone(
    read_settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.001)
    async with alone(read_settings) as held:
        for _ in range(50):  # a check at the same time as a beat
            await held.check()
        with pytest.raises(AnotherRebuild):
            async with alone(read_settings):
                pass
        async with database.engine.begin() as connection:
            await connection.execute(text(_CUT))
        for _ in range(2):  # and it stays gone: nobody connects anew without the lock
            with pytest.raises(DatabaseUnavailable):
                await held.check()
