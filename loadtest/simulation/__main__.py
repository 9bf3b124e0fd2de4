"""`python -m loadtest.simulation --rate R [--seconds S] [--gateways N] ... [--latencies aws|ministack]`: one JSON line, one for people."""

import argparse
import json
import sys
from pathlib import Path

from headrace.errors import WrongUse
from loadtest.model.facts import load_measured
from loadtest.simulation.world import Sizes, World, profiles
from runtime.settings import MAX_PARTITIONS
from workers.pacing import LONG_SECONDS


def main() -> int:
    """Exit 1 when something is left behind, 2 for wrong use."""
    given = _arguments().parse_args()
    counts = (given.gateways, given.workers, given.relays, given.projectors, given.shards)
    if not 0 < given.rate <= 2e6 or not 0 < given.seconds <= 3600 or min(counts) < 1 or not 1 <= given.partitions <= MAX_PARTITIONS:
        print("loadtest.simulation: --rate up to 2 million, --seconds up to 3600, counts at least 1", file=sys.stderr)
        return 2
    try:
        measured = load_measured(given.measured)
    except WrongUse as wrong:
        print(f"loadtest.simulation: {wrong}", file=sys.stderr)
        return 2
    words = {name: getattr(given, name) for name in Sizes.__struct_fields__}
    world = World(Sizes(**words), profiles()[given.latencies], measured)
    world.run()
    found = world.told()
    print(json.dumps(words | {"latencies": given.latencies} | found))
    print(
        f"{found['commands']:,} commands at {given.rate:,.0f}/s: visible after {found.get('visible_ms')} ms,"
        f" {found['requests_per_1000']} requests per 1,000, {found['cpu_ms_per_command']} ms of CPU a command;"
        f" busy {found['busy']}; left {found['left']}",
        file=sys.stderr,
    )
    return 1 if any(found["left"].values()) else 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtest.simulation", description="the way of a command in virtual time")
    parser.add_argument("--rate", type=float, required=True, metavar="R", help="commands a second")
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="of arrivals (10)")
    for name, count in (("gateways", 1), ("workers", 1), ("relays", 1), ("projectors", 1), ("partitions", 16), ("shards", 1)):
        parser.add_argument(f"--{name}", type=int, default=count, metavar="N", help=f"({count})")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cores", type=int, default=0, metavar="N", help="of one machine that all share; 0: each process has its own (0)")
    parser.add_argument("--linger", type=float, default=0.25, metavar="S", help="HEADRACE_LINGER_SECONDS (0.25)")
    parser.add_argument("--gather", type=float, default=LONG_SECONDS, metavar="S", help=f"HEADRACE_GATHER_SECONDS ({LONG_SECONDS:g})")
    parser.add_argument("--latencies", choices=sorted(profiles()), default="aws")
    parser.add_argument("--measured", type=Path, metavar="FILE", help="costs measured elsewhere, in the form of the model's measured.json")
    return parser


if __name__ == "__main__":
    sys.exit(main())
