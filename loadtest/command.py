"""`headrace load`: load on the live stack, with live progress on stderr; ends with the audit."""

import asyncio
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final

import msgspec

from headrace.costs.prices import load_prices
from headrace.errors import WrongUse
from headrace.local import state
from loadtest.knee import SEARCH_SECONDS
from loadtest.pacing import steps
from loadtest.report import Report, say_report
from loadtest.run import run
from loadtest.script import Shape
from loadtest.summing import summed
from loadtest.wanted import SETTLE_SECONDS, Wanted

SHARES: Final = ("create", "update", "delete", "read")


def arguments(parser: ArgumentParser) -> None:
    """What load, for how long, and where the results go."""
    parser.add_argument("--rate", default="max", metavar="R|max", help="commands a second; steps: 200,400,800; max finds the knee")
    parser.add_argument("--duration", type=float, default=30.0, metavar="S", help="seconds of each step (30)")
    parser.add_argument("--search", type=float, default=SEARCH_SECONDS, metavar="S", help="seconds in which max is looked for (60)")
    parser.add_argument("--mix", default="create=70,update=20,delete=10", help="shares of create, update, delete and read")
    parser.add_argument("--via", default="http", choices=["http", "batch", "amqp"], help="single posts, the batch route, or RabbitMQ")
    parser.add_argument("--text", type=int, default=0, metavar="N", help="characters of every text (default: as people write)")
    parser.add_argument("--skew", type=float, default=0.0, metavar="Z", help="0: all comments and pictures alike; 1: a few are hot")
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=0, help="generator processes (default: as many as the rate needs)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument(
        "--settle", type=float, default=SETTLE_SECONDS, metavar="S", help="seconds that the audit gives what is under way (30)"
    )
    parser.add_argument("--prices", metavar="FILE", help="price table in place of the built-in one")
    parser.add_argument("--json", metavar="F", help="the result as one object; - is stdout")
    parser.add_argument("--html", metavar="F", help="the result as one page with plots")


def main(arguments: Namespace) -> int:
    """Exit 0 when every promise was kept, 1 when not, whatever the speed."""
    wanted = _wanted(arguments)
    ran = asyncio.run(run(state.folder_of(arguments.state), wanted, _say))
    report = summed(ran, wanted)
    say_report(report, _say)
    if arguments.json:
        _write_json(report, arguments.json)
    if arguments.html:
        from loadtest.page.filling import page  # noqa: PLC0415 - only when asked for

        Path(arguments.html).write_text(page(report, ran.series, ran.done), encoding="utf-8")
        _say(f"report in {arguments.html}")
    return 1 if report.faults else 0


def _wanted(arguments: Namespace) -> Wanted:
    try:
        rates = [] if arguments.rate == "max" else steps(arguments.rate)
    except ValueError:
        raise WrongUse("--rate must be max, a number of commands a second, or several with commas") from None
    if not 1 <= arguments.duration <= 86_400:
        raise WrongUse("--duration must be between 1 and 86400 seconds")
    if not 10 <= arguments.search <= 3600 or not 0 <= arguments.settle <= 3600:
        raise WrongUse("--search must be between 10 and 3600 seconds, --settle between 0 and 3600")
    if not 0 <= arguments.text <= 10_000 or arguments.pictures < 1 or not 0 <= arguments.processes <= 64 or not 0 <= arguments.skew <= 5:
        raise WrongUse("--text must be between 0 and 10000, --pictures at least 1, --processes between 0 and 64, --skew between 0 and 5")
    shares = _mix(arguments.mix)
    authors = 200 if arguments.via == "http" else 1  # a batch, and a connection to the broker, have one caller
    shape = Shape(**shares, text=arguments.text, skew=arguments.skew, pictures=arguments.pictures, authors=authors)
    prices = load_prices(Path(arguments.prices) if arguments.prices else None)
    return Wanted(
        rates=tuple(rates),
        seconds=arguments.duration,
        shape=shape,
        via=arguments.via,
        seed=arguments.seed,
        processes=arguments.processes,
        prices=prices,
        search=arguments.search,
        settle=arguments.settle,
    )


def _mix(text: str) -> dict[str, float]:
    shares = dict.fromkeys(SHARES, 0.0)
    for part in text.split(","):
        name, _, share = part.partition("=")
        try:
            value = float(share)
        except ValueError:
            value = -1.0
        if name not in shares or not 0 <= value < 1e9:
            raise WrongUse(f"--mix: {part!r} is not one of {', '.join(f'{each}=N' for each in SHARES)}")
        shares[name] = value
    if not shares["create"]:
        raise WrongUse("--mix needs a share of create: there is nothing else to begin with")
    return shares


def _write_json(report: Report, where: str) -> None:
    text = msgspec.json.encode(report).decode() + "\n"
    if where == "-":
        sys.stdout.write(text)
    else:
        Path(where).write_text(text, encoding="utf-8")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
