"""JSON that every sink on the way can carry: stricter than JSON itself, since an event that is stored must be projected too.

Refused: duplicate keys, NUL, lone surrogates, NaN and infinities, integers beyond 64 bits, numbers of more than 38 digits, nesting
deeper than 64, anything but UTF-8, trailing data. msgspec refuses most of it while it decodes; the rest is checked on the value, and
only where the raw bytes cannot already exclude it.
"""

import json
import re
from typing import Any, Final, NoReturn, TypeVar

import msgspec

from gateway.problems import Problem

MAX_DEPTH: Final = 64
MAX_DIGITS: Final = 38
"""Significant digits: what DynamoDB keeps of a number."""
INT64: Final = range(-(2**63), 2**63)
_DECODER: Final = msgspec.json.Decoder()
_PATH: Final = re.compile(r"^(.*?)(?: - at `(\$[^`]*)`)?$", re.DOTALL)
_FIELD: Final = re.compile(r"(?:missing required|unknown) field `([^`]*)`")
_DIGITS: Final = re.compile(r"[eE].*|[-.]")
_T = TypeVar("_T")


def read(raw: bytes, kind: type[_T]) -> _T:
    """`raw` as an object of `kind`; Problem `malformed` or `limit` with a JSON pointer otherwise."""
    return convert(parse(raw), kind)


def parse(raw: bytes) -> dict[str, Any]:
    """A JSON object as plain values, checked for everything but its fields."""
    try:
        value = _DECODER.decode(raw)
        if type(value) is not dict:
            _refuse("the body is not a JSON object")
        survey = _Survey()
        survey.visit(value, 0)
        if survey.floats or raw.count(b'"') - raw.count(b'\\"') != 2 * survey.quoted or b"\\\\" in raw:
            _recheck(raw)
    except RecursionError:
        _refuse(f"nested deeper than {MAX_DEPTH}")
    except UnicodeDecodeError:
        _refuse("not UTF-8")
    except msgspec.MsgspecError as wrong:
        _refuse(_unquoted(str(wrong)))
    if b"u0000" in raw:
        _no_nul(value, "")
    return value


def convert(value: Any, kind: type[_T], root: str = "") -> _T:
    """Plain values as `kind`, no coercion. `root` is the JSON pointer of `value`."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as wrong:
        raise invalid(wrong, root) from None


def invalid(wrong: msgspec.ValidationError, root: str = "") -> Problem:
    """A value outside a length or range is `limit`, anything else `malformed`."""
    message = str(wrong)
    found = _PATH.match(message)
    text, path = (found[1], found[2] or "$") if found else (message, "$")
    pointer = root + path[1:].replace("[", "/").replace("]", "").replace(".", "/")
    field = _FIELD.search(text)
    if field:
        pointer += "/" + field[1].replace("~", "~0").replace("/", "~1")
    code = "limit" if "of length" in text or "`int` " in text else "malformed"
    return Problem(code, text.replace("`", "'"), pointer=pointer)


class _Survey:
    """Counts what stands in quotes and looks at every number."""

    __slots__ = ("floats", "quoted")

    def __init__(self) -> None:
        self.quoted = 0
        self.floats = False

    def visit(self, value: Any, depth: int) -> None:
        kind = type(value)
        if kind is str:
            self.quoted += 1
        elif kind is dict:
            self._deeper(value.values(), depth)
            self.quoted += len(value)
        elif kind is list:
            self._deeper(value, depth)
        elif kind is int:
            if value not in INT64:
                _refuse("an integer is beyond 64 bits")
        elif kind is float:
            self.floats = True

    def _deeper(self, values: Any, depth: int) -> None:
        if depth >= MAX_DEPTH:
            _refuse(f"nested deeper than {MAX_DEPTH}")
        for each in values:
            if type(each) is str:  # most of what is posted: not worth a call
                self.quoted += 1
            else:
                self.visit(each, depth + 1)


def _recheck(raw: bytes) -> None:
    """Slow and exact: for bodies whose quotes do not add up, or that hold fractions."""
    json.loads(raw, object_pairs_hook=_pairs, parse_float=_number)


def _pairs(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        _refuse(f"the key {twice[:64]!r} stands twice in one object")


def _number(text: str) -> None:
    if len(_DIGITS.sub("", text).strip("0")) > MAX_DIGITS:
        _refuse(f"a number has more than {MAX_DIGITS} digits")


def _no_nul(value: Any, pointer: str) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise Problem("malformed", "a string holds NUL", pointer=pointer)
    elif isinstance(value, dict):
        for key, each in value.items():
            if "\0" in key:
                raise Problem("malformed", "a key holds NUL", pointer=pointer)
            _no_nul(each, f"{pointer}/{key}")
    elif isinstance(value, list):
        for place, each in enumerate(value):
            _no_nul(each, f"{pointer}/{place}")


def _unquoted(message: str) -> str:
    return message.partition(" - at `")[0].replace("`", "'")


def _refuse(detail: str) -> NoReturn:
    raise Problem("malformed", detail)
