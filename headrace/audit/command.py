"""`headrace audit`: I2-I7 on what is stored, read only."""

import asyncio
import sys
from argparse import ArgumentParser, Namespace

import msgspec

from headrace.audit.checking import audit
from headrace.audit.findings import Findings
from headrace.audit.progress import Progress, on_stderr
from headrace.errors import WrongUse
from runtime.settings import load, require


def arguments(parser: ArgumentParser) -> None:
    """How to show it, and how long to wait."""
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    parser.add_argument("--settle", type=float, default=30.0, metavar="S", help="seconds for what is under way (30)")


def main(arguments: Namespace) -> int:
    """Exit 0 when all holds, 1 with what differs."""
    if not 0 <= arguments.settle <= 3600:
        raise WrongUse("--settle must be between 0 and 3600 seconds")
    settings = load()
    require(settings, "database_url", "redis_url")
    progress = Progress() if arguments.json and not sys.stderr.isatty() else on_stderr()
    findings = asyncio.run(audit(settings, arguments.settle, progress))
    if arguments.json:
        print(msgspec.json.encode(findings).decode())
    else:
        _say(findings)
    return 0 if findings.ok else 1


def _say(findings: Findings) -> None:
    for each in findings.differences:
        print(f"{each.invariant} {each.stream}: {each.detail}")
    if findings.unnamed:
        print(f"... and {findings.unnamed} more")
    verdict = "clean" if findings.ok else f"{len(findings.differences) + findings.unnamed} differences"
    print(f"{', '.join(findings.checked)} over {findings.streams} streams, {findings.events} events: {verdict};"
          f" {findings.pending} pending, {findings.parked} parked, {findings.discarded} discarded")  # fmt: skip
