"""How large DynamoDB says an item is, and how many units reading or writing it consumes. Pure.

Sizes: AWS's "DynamoDB item sizes and formats". Units: its "read and write operations" (a write unit for each KB begun, a read unit
for each 4 KB begun, half of one when eventually consistent; KB is 1024 bytes).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

WRITE_BYTES: Final = 1024
READ_BYTES: Final = 4096
_CONTAINER: Final = 3
_ELEMENT: Final = 1


def item_size(item: Mapping[str, Mapping[str, Any]]) -> int:
    """Bytes of an item in the API's form, `{"name": {"S": "value"}}`: its names and its values."""
    return sum(text_size(name) + value_size(value) for name, value in item.items())


def value_size(value: Mapping[str, Any]) -> int:
    """Bytes of one attribute's value, its name apart. Raises KeyError for what is no type of DynamoDB's."""
    [(kind, content)] = value.items()
    return _SIZES[kind](content)


def text_size(text: str) -> int:
    """Bytes in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def number_size(number: str) -> int:
    """One byte for two significant digits and one more; AWS calls this approximate."""
    digits = number.lower().partition("e")[0].lstrip("+-").replace(".", "").strip("0")
    return (len(digits) + 1) // 2 + 1


_SIZES: Final[Mapping[str, Callable[[Any], int]]] = {
    "S": text_size,
    "N": number_size,
    "B": len,
    "BOOL": lambda _: 1,
    "NULL": lambda _: 1,
    "SS": lambda texts: sum(map(text_size, texts)),
    "NS": lambda numbers: sum(map(number_size, numbers)),
    "BS": lambda values: sum(map(len, values)),
    "L": lambda values: _CONTAINER + sum(_ELEMENT + value_size(each) for each in values),
    "M": lambda values: _CONTAINER + sum(_ELEMENT + text_size(name) + value_size(each) for name, each in values.items()),
}


def write_units(size: int) -> int:
    """Of one standard write of an item of that many bytes; a transaction costs twice. A condition that fails costs the same."""
    return max(1, -(-size // WRITE_BYTES))


def read_units(size: int, *, consistent: bool) -> float:
    """Of one read that came to that many bytes; nothing found costs what the smallest item does."""
    return max(1, -(-size // READ_BYTES)) * (1.0 if consistent else 0.5)
