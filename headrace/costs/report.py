"""The object of `headrace costs --json`, and its table for people. Pure."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from headrace.costs.billing import Bill, bill
from headrace.costs.prices import Prices
from headrace.costs.usage import Usage


class Costs(Struct, frozen=True):
    """Since the roles that run now began."""

    backend: str
    prices: Prices
    commands: int
    bill: Bill
    by_role: dict[str, Bill]
    """Each role's share; its per-million figures are over all commands."""
    usage: Usage
    usage_by_role: dict[str, Usage]
    cpu_ms: dict[str, float]
    peak_rss_mb: dict[str, float]
    silent: tuple[str, ...] = ()
    """Roles that did not answer: their part is missing."""


def costs(usage: Usage, by_role: Mapping[str, Usage], prices: Prices) -> tuple[Bill, dict[str, Bill]]:
    """The whole bill and each role's, all over the same commands."""
    return bill(usage, prices, usage.commands), {role: bill(used, prices, usage.commands) for role, used in by_role.items()}


def render(found: Costs) -> str:
    """Dollars per million commands, by service and by role; without commands, dollars."""
    prices, usage = found.prices, found.usage
    unit = "dollars per million commands" if found.commands else "dollars (no command yet)"
    lines = [
        f"{found.backend} · {found.commands:,} commands since the roles began · prices of {prices.date}, {prices.region}",
        "",
        *_table(found, unit),
        "",
        (
            f"as this backend's append is billed: {_dollars(found.bill, 'as_run')}"
            f"  ({usage.commit_units_as_run:,.0f} write units for commits; {usage.commit_units:,.0f} by PartiQL)"
        ),
        f"floor, the commits' write units alone: {_dollars(found.bill, 'floor')}",
        "",
        *_counts(usage),
    ]
    if found.silent:
        lines.append(f"NOT COUNTED, no answer from: {', '.join(found.silent)}")
    return "\n".join(lines)


_SERVICES = ("sqs", "sns", "dynamodb", "streams", "total")


def _table(found: Costs, unit: str) -> list[str]:
    head = f"{unit:<32}" + "".join(f"{name:>11}" for name in _SERVICES) + f"{'requests':>12}{'CPU ms':>10}{'peak MB':>9}"
    rows = [
        _row(role, bill, found.usage_by_role[role], found.cpu_ms[role], found.peak_rss_mb[role]) for role, bill in found.by_role.items()
    ]
    total = _row("all roles", found.bill, found.usage, sum(found.cpu_ms.values()), sum(found.peak_rss_mb.values()))
    return [head, *rows, total]


def _row(name: str, paid: Bill, usage: Usage, cpu: float, peak: float) -> str:
    dollars = "".join(f"{_dollars(paid, service):>11}" for service in _SERVICES)
    return f"{name:<32}{dollars}{sum(usage.requests.values()):>12,}{cpu:>10,.0f}{peak:>9,.0f}"


def _dollars(paid: Bill, name: str) -> str:
    value = getattr(paid.per_million, name)
    return f"{value:.4f}" if value is not None else f"{getattr(paid, name):.6f}"


def _counts(usage: Usage) -> Sequence[str]:
    calls = "  ".join(f"{call} {count:,}" for call, count in usage.requests.items())
    return [
        f"requests  {calls or '-'}",
        (
            f"billed    SQS {usage.billed_requests('sqs'):,} by 64 KB, {usage.empty_receives:,} receives empty"
            f" · SNS {usage.billed_requests('sns'):,} by 64 KB, {usage.sns_messages:,} messages, {usage.sns_bytes:,} bytes,"
            f" {usage.sns_delivered_bytes:,} delivered · Streams {usage.stream_reads:,} reads, {usage.empty_stream_reads:,} empty"
        ),
        (
            f"          DynamoDB {usage.write_units:,.0f} write units ({usage.write_units_as_run:,.0f} as run),"
            f" {usage.read_units:,.1f} read units"
        ),
    ]
