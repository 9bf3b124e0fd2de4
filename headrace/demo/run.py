"""One run against a live stack."""

import os
from collections import Counter
from pathlib import Path
from time import monotonic
from typing import Any, Final

import aiohttp
from msgspec import Struct

from events.dynamo_store import open_store
from headrace.audit.checking import audit
from headrace.audit.findings import Findings
from headrace.costs.billing import bill
from headrace.costs.prices import load_prices
from headrace.demo.caller import Caller, Told, outcomes
from headrace.demo.drain import passed, until_projected
from headrace.demo.percentiles import percentiles
from headrace.demo.progress import Progress
from headrace.demo.proof import differences, histories
from headrace.demo.script import Sizes, threads
from headrace.demo.summary import Report, Result
from headrace.errors import WrongUse
from headrace.local import state
from headrace.local.environment import merged
from headrace.metering import Reading, read_meters, spent
from readmodel.domains import registry
from runtime.aws import open_aws
from runtime.settings import Settings, load
from runtime.stack import load_stack

ASK_AT_ONCE: Final = 32
SETTLE_SECONDS: Final = 30.0


class Wanted(Struct, frozen=True):
    """What to run."""

    sizes: Sizes
    in_flight: int
    seed: int
    run: str


class _Ran(Struct):
    """What the callers and the meters saw."""

    told: Told
    outcomes: dict[str, dict[str, Any]]
    before: Reading
    after: Reading
    projected_at: float
    drained: bool


async def run(folder: Path, wanted: Wanted) -> Result:
    """Post, wait for the drain, ask every outcome, prove, audit."""
    stack = state.live(folder)
    if stack is None:
        raise WrongUse(f"no stack is up in {folder}")
    os.environ.update(merged(os.environ, stack.environment))  # credentials too, which only the SDK reads
    settings = load()
    timeout = aiohttp.ClientTimeout(total=60, sock_connect=5)
    connector = aiohttp.TCPConnector(limit=wanted.in_flight + 8)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
        ran = await _post(http, folder, stack.gateway, settings, wanted)
        faults = await _proved(http, stack.gateway, settings)
    findings = await audit(settings, SETTLE_SECONDS)
    faults += [f"{each.invariant} {each.stream}: {each.detail}" for each in findings.differences]
    report = _report(stack.backend, ran, findings)
    faults += _unkept(report, ran)
    return Result(report, faults, ran.told.repeats, ran.projected_at - ran.told.began)


async def _post(http: aiohttp.ClientSession, folder: Path, gateway: str, settings: Settings, wanted: Wanted) -> _Ran:
    told = Told()
    sizes = wanted.sizes
    commands = sizes.creates + sizes.updates + sizes.deletes
    base = await passed(settings)
    before = await read_meters(http, _parts(folder))
    progress = Progress("posting", commands)
    await Caller(http, gateway, told, progress.advance).post_all(threads(sizes, wanted.seed, wanted.run), wanted.in_flight)
    progress.done()
    progress = Progress("projecting", 2 * commands)
    drained = await until_projected(settings, base, commands, progress)
    projected_at = monotonic()
    after = await read_meters(http, _parts(folder))
    progress.done()
    return _Ran(told, await outcomes(http, gateway, told, ASK_AT_ONCE), before, after, projected_at, drained)


def _parts(folder: Path) -> tuple[state.Part, ...]:
    stack = state.live(folder)
    return stack.parts if stack else ()


async def _proved(http: aiohttp.ClientSession, gateway: str, settings: Settings) -> list[str]:
    domains = registry(settings)
    async with open_aws(settings) as aws:
        store = await open_store(aws, await load_stack(await aws.dynamodb(), settings), settings)
        return await differences(http, gateway, await histories(store, domains))


def _report(backend: str, ran: _Ran, findings: Findings) -> Report:
    told = ran.told
    accepted = len(told.receipts)
    statuses = Counter(outcome["status"] for outcome in ran.outcomes.values())
    projected = sum(1 for outcome in ran.outcomes.values() if all(outcome.get("projected", {"-": False}).values()))
    used = spent(ran.before, ran.after)
    dollars = bill(used.usage, load_prices(), accepted).per_million.total
    window = max(0.001, ran.projected_at - told.began)
    return Report(
        backend=backend,
        posted=accepted + len(told.refused),
        accepted=accepted,
        refused=len(told.refused),
        applied=statuses["applied"],
        rejected=statuses["rejected"],
        failed=statuses["failed"],
        projected=projected,
        accepted_per_s=round(accepted / max(0.001, told.last_accepted - told.began), 1),
        appended_per_s=round(statuses["applied"] / window, 1),
        projected_per_s=round(projected / window, 1),
        latency_ms={name: percentiles(getattr(told, name)) for name in ("accepted", "applied", "visible")},
        requests_per_1000_commands=round(sum(used.requests.values()) * 1000 / max(1, accepted), 1),
        requests=used.requests,
        cpu_ms_per_command=round(sum(used.cpu_ms.values()) / max(1, accepted), 3),
        cpu_ms=used.cpu_ms,
        peak_rss_mb=used.peak_rss_mb,
        dollars_per_million=round(dollars or 0.0, 4),
        audit=findings,
    )


def _unkept(report: Report, ran: _Ran) -> list[str]:
    """What the callers were promised and did not get. The script holds nothing that may be refused or rejected."""
    lines = [f"the post {key} was refused: {code}" for key, code in ran.told.refused.items()]
    for key, outcome in ran.outcomes.items():
        if outcome["status"] != "applied":
            lines.append(f"the command {key} was accepted and is {outcome['status']}: {outcome.get('reason', outcome.get('detail'))}")
    if not ran.drained or report.projected != report.applied:
        lines.append(f"{report.applied} commands were applied, {report.projected} of them projected")
    return lines
