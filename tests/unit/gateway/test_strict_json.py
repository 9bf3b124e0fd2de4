"""JSON that every sink can carry, and nothing else."""

import contextlib
import json
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from gateway.problems import Problem
from gateway.strict_json import parse, read

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXT | st.floats(-1e6, 1e6, width=32)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=12)
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=5)


@given(OBJECTS, st.booleans())
def test_what_is_allowed_is_read_as_it_was_meant(value: dict[str, Any], ascii_only: bool) -> None:
    assert parse(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(OBJECTS, TEXT, VALUES, VALUES)
def test_a_key_that_stands_twice_is_found_anywhere(value: dict[str, Any], key: str, one: Any, other: Any) -> None:
    twice = f"{{{json.dumps(key)}: {json.dumps(one)}, {json.dumps(key)}: {json.dumps(other)}}}"
    raw = json.dumps({**value, "inner": "@@"}).replace('"@@"', twice)
    with pytest.raises(Problem) as found:
        parse(raw.encode())
    assert found.value.code == "malformed"


@given(OBJECTS, TEXT, TEXT)
def test_nul_is_found_anywhere(value: dict[str, Any], before: str, after: str) -> None:
    with pytest.raises(Problem):
        parse(json.dumps({**value, "inner": [before + "\0" + after]}).encode())


@given(st.binary(max_size=60))
def test_no_bytes_do_worse_than_a_problem(raw: bytes) -> None:
    with contextlib.suppress(Problem):
        assert isinstance(parse(raw), dict)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"{} x",
        b"{}{}",
        b"[]",
        b"null",
        b'"a"',
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a":' * 65 + b"1" + b"}" * 65,
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":1e999}',
        b'{"a":-1e999}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":2}',
        b'{"a":"\\\\","a":"\\\\"}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":"\\u0000"}',
        b'{"a\\u0000":1}',
        b'{"a":"\x00"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\\udc00x"}',
        b'{"a":9223372036854775808}',
        b'{"a":-9223372036854775809}',
        b'{"a":01}',
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":0.123456789012345678901234567890123456789}',
    ],
)
def test_what_is_refused(raw: bytes) -> None:
    with pytest.raises(Problem) as found:
        parse(raw)
    assert (found.value.status, found.value.code) == (400, "malformed")


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b'{"a":"\\\\u0000"}', "\\u0000"),
        (b'{"a":"\\"\\\\\\""}', '"\\"'),
        (b'{"a":9223372036854775807}', 2**63 - 1),
        ('{"a":"\U0001f600\ufffe"}'.encode(), "\U0001f600\ufffe"),
        (b'{"a":0.1}', 0.1),
        (b' {"a" : [ ] }\r\n', []),
        (b'{"a":10000000000000000000000000000000000000000.0}', 1e40),
    ],
)
def test_what_only_looks_wrong_is_taken(raw: bytes, value: object) -> None:
    assert parse(raw) == {"a": value}


class Inner(Struct, forbid_unknown_fields=True):
    n: int


class Outer(Struct, forbid_unknown_fields=True):
    text: Annotated[str, Meta(max_length=3)]
    inner: Inner | None = None
    many: list[Inner] = []


@pytest.mark.parametrize(
    ("raw", "code", "pointer"),
    [
        (b"{}", "malformed", "/text"),
        (b'{"text":1}', "malformed", "/text"),
        (b'{"text":"abcd"}', "limit", "/text"),
        (b'{"text":"a","x/y":1}', "malformed", "/x~1y"),
        (b'{"text":"a","inner":{"n":"1"}}', "malformed", "/inner/n"),
        (b'{"text":"a","inner":{"n":1.0}}', "malformed", "/inner/n"),
        (b'{"text":"a","inner":{"n":true}}', "malformed", "/inner/n"),
        (b'{"text":"a","inner":{}}', "malformed", "/inner/n"),
        (b'{"text":"a","inner":{"n":1,"m":2}}', "malformed", "/inner/m"),
        (b'{"text":"a","many":[{"n":null}]}', "malformed", "/many/0/n"),
    ],
)
def test_a_problem_points_at_its_place(raw: bytes, code: str, pointer: str) -> None:
    with pytest.raises(Problem) as found:
        read(raw, Outer)
    assert (found.value.code, found.value.extra["pointer"]) == (code, pointer)
