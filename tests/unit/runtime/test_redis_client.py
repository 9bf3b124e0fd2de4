"""Commands packed quickly are the library's own."""

from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Connection

from runtime.redis_client import QuickConnection

WORDS = st.one_of(st.text(max_size=50), st.binary(max_size=50), st.integers(), st.floats(allow_nan=False))


@given(st.sampled_from(["GET", "CLIENT SETINFO", b"EVALSHA", b"CONFIG GET"]), st.lists(WORDS, max_size=8))
def test_packing_is_the_librarys(name: str | bytes, words: list[str | bytes | int | float]) -> None:
    assert b"".join(QuickConnection().pack_command(name, *words)) == b"".join(Connection().pack_command(name, *words))
