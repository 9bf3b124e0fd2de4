"""`python -m loadtest.model [--rates 1000,100000] [--measured FILE] [--partitions N] [--linger S] [--gather S] [--json]`."""

import argparse
import sys
from pathlib import Path

import msgspec

from gateway.parcelling import LONGEST, pace_of
from headrace.costs.prices import load_prices
from headrace.errors import WrongUse
from loadtest.model.facts import load_measured, load_quotas
from loadtest.model.hops import Setting, hops
from loadtest.model.limits import limits
from loadtest.model.tables import tables
from runtime.settings import MAX_PARTITIONS
from workers.pacing import LONG_SECONDS

RATES = "1000,10000,100000,1000000"
PARTITIONS = {1_000: 16, 10_000: 16, 100_000: 128}
"""The most commands a second for which so many partitions do; beyond, 256."""


def main() -> int:
    """Exit 2 for wrong use."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.model", description="what a rate takes beyond one machine")
    parser.add_argument("--rates", default=RATES, metavar="A,B", help=f"commands a second ({RATES})")
    parser.add_argument(
        "--partitions", type=int, choices=range(1, MAX_PARTITIONS + 1), metavar="N", help="of all rates; otherwise 16 to 256 with the rate"
    )
    parser.add_argument("--linger", type=float, default=LONGEST, metavar="S", help=f"HEADRACE_LINGER_SECONDS ({LONGEST:g})")
    parser.add_argument("--gather", type=float, default=LONG_SECONDS, metavar="S", help=f"HEADRACE_GATHER_SECONDS ({LONG_SECONDS:g})")
    parser.add_argument("--measured", type=Path, metavar="FILE", help="costs measured elsewhere, in the form of measured.json")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    try:
        rates = _rates(given.rates)
        measured, quotas, prices = load_measured(given.measured), load_quotas(), load_prices()
    except WrongUse as wrong:
        print(f"loadtest.model: {wrong}", file=sys.stderr)
        return 2
    found = [
        hops(rate, Setting(given.partitions or _partitions(rate), pace_of(given.linger), given.gather), measured, prices) for rate in rates
    ]
    met = [limits(each, measured, quotas) for each in found]
    if given.json:
        print(msgspec.json.encode([{"hops": each, "limits": some} for each, some in zip(found, met, strict=True)]).decode())
    else:
        print(tables(found, met))
    return 0


def _rates(text: str) -> list[float]:
    try:
        rates = [float(each) for each in text.split(",")]
    except ValueError as wrong:
        raise WrongUse(f"--rates {text}: not numbers with commas") from wrong
    if not all(1 <= rate <= 1e8 for rate in rates):
        raise WrongUse(f"--rates {text}: not between 1 and 100 million")
    return rates


def _partitions(rate: float) -> int:
    return next((partitions for most, partitions in PARTITIONS.items() if rate <= most), 256)


if __name__ == "__main__":
    sys.exit(main())
