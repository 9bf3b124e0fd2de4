"""The price table: a file with its date and region, which users replace by their own."""

import json
import math
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from headrace.errors import WrongUse


class Prices(Struct, frozen=True):
    """Dollars, before free tiers and discounts. What each is paid for: docs/costs.md."""

    region: str
    date: str
    """The day on which they were looked up, YYYY-MM-DD."""
    sqs_fifo_million_requests: float
    sns_fifo_million_publishes: float
    sns_fifo_published_gb: float
    sns_fifo_million_deliveries: float
    sns_fifo_delivered_gb: float
    dynamodb_million_write_units: float
    dynamodb_million_read_units: float
    streams_hundred_thousand_reads: float


_WORDS: Final = ("region", "date")
_NAMES: Final = Prices.__struct_fields__


def load_prices(path: Path | None = None) -> Prices:
    """The user's file, or ours. Raises WrongUse, one line naming every fault of the file."""
    if path is None:
        return parse_prices(files("headrace.costs").joinpath("prices.json").read_text(encoding="utf-8"), "prices.json")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as wrong:
        raise WrongUse(f"{path}: {getattr(wrong, 'strerror', None) or 'not UTF-8'}") from wrong
    return parse_prices(text, str(path))


def parse_prices(text: str, where: str) -> Prices:
    """`where` is named in the error."""
    try:
        found = json.loads(text)
    except ValueError as wrong:
        raise WrongUse(f"{where}: not JSON") from wrong
    if not isinstance(found, dict):
        raise WrongUse(f"{where}: not an object")
    faults = [f"{name}: {fault}" for name in _NAMES if (fault := _fault(name, found))]
    faults += [f"{name}: no such price" for name in found if name not in _NAMES]
    if faults:
        raise WrongUse(f"{where}: {'; '.join(faults)}")
    return Prices(**found)


def _fault(name: str, found: dict[str, Any]) -> str:
    if name not in found:
        return "missing"
    value = found[name]
    if name in _WORDS:
        return _wrong_word(name, value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return "" if number and math.isfinite(value) and value >= 0 else "not a number of dollars, 0 or more"


def _wrong_word(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        return "not a text"
    if name == "date":
        try:
            date.fromisoformat(value)
        except ValueError:
            return "not YYYY-MM-DD"
    return ""
