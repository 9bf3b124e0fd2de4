"""What of AWS was used, in AWS's own units of billing: read off the roles' counters. Pure."""

import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

SUBSCRIPTIONS: Final = 2
"""Queues that the topic delivers to: `rds` and `cache`; one more with the projector `amqp`."""
COMMITS_TABLE: Final = "-events"
"""The end of the event store's name: what is written there are commits, the rest is leases."""
_OUTCOMES: Final = ("applied", "rejected", "failed")
"""The worker's; the gateway counts the same commands once more, as accepted."""
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Usage(Struct, frozen=True):
    """Counts over some time and some roles. Units are as AWS bills them, see docs/costs.md."""

    requests: dict[str, int] = {}
    """`service.call` -> requests sent, retries included."""
    chunks: dict[str, int] = {}
    """`service.call` -> requests as SQS and SNS bill them: one each, and one more for each further 64 KB of payload."""
    empty_receives: int = 0
    """Receives that brought nothing; they are among `requests` and `chunks`."""
    sns_messages: int = 0
    """Messages published; up to ten travel in one request."""
    sns_bytes: int = 0
    """Payload published."""
    sns_deliveries: int = 0
    """Messages delivered to queues, one a subscription."""
    sns_delivered_bytes: int = 0
    stream_reads: int = 0
    """GetRecords calls, with records or without."""
    empty_stream_reads: int = 0
    commit_units: float = 0.0
    """Write units of the event store's commits when appended by PartiQL (or any single put): one a KB begun."""
    commit_units_as_run: float = 0.0
    """The same as this backend's append call was billed: a transaction costs twice."""
    other_write_units: float = 0.0
    """Leases and the stack's own facts."""
    read_units: float = 0.0
    """Half a unit for each 4 KB begun, one when strongly consistent."""
    commands: int = 0
    """Commands that reached an outcome: applied, rejected or failed."""

    def billed_requests(self, service: str) -> int:
        """Of `sqs` or `sns`, by 64 KB of payload."""
        return sum(count for call, count in self.chunks.items() if call.startswith(f"{service}."))

    @property
    def write_units(self) -> float:
        """All, with commits appended by PartiQL."""
        return self.commit_units + self.other_write_units

    @property
    def write_units_as_run(self) -> float:
        """All, as this backend's append call was billed."""
        return self.commit_units_as_run + self.other_write_units


def usage_of(counters: Mapping[str, float], subscriptions: int = SUBSCRIPTIONS) -> Usage:
    """`counters`: name and labels as in `/metrics` -> count. What is missing was not used."""
    requests = _by_call(counters, "headrace_aws_requests_total")
    messages, sent = _sum(counters, "headrace_aws_sns_messages_total"), _sum(counters, "headrace_aws_sns_bytes_total")
    written, as_run = "headrace_aws_write_units_total", "headrace_aws_write_units_as_run_total"
    commits = _sum(counters, written, table=COMMITS_TABLE)
    return Usage(
        requests=requests,
        chunks=_by_call(counters, "headrace_aws_chunks_total"),
        empty_receives=round(_sum(counters, "headrace_aws_empty_receives_total")),
        sns_messages=round(messages),
        sns_bytes=round(sent),
        sns_deliveries=round(messages) * subscriptions,
        sns_delivered_bytes=round(sent) * subscriptions,
        stream_reads=sum(count for call, count in requests.items() if call.endswith(".GetRecords")),
        empty_stream_reads=round(_sum(counters, "headrace_aws_empty_stream_reads_total")),
        commit_units=commits,
        commit_units_as_run=_sum(counters, as_run, table=COMMITS_TABLE),
        other_write_units=_sum(counters, written) - commits,
        read_units=_sum(counters, "headrace_aws_read_units_total"),
        commands=round(sum(counters.get(f'headrace_commands_total{{status="{status}"}}', 0.0) for status in _OUTCOMES)),
    )


def _by_call(counters: Mapping[str, float], name: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for key, count in counters.items():
        if key.startswith(name + "{"):
            labels = dict(_LABEL.findall(key))
            call = f"{labels['service']}.{labels['call']}"
            found[call] = found.get(call, 0) + round(count)
    return {call: found[call] for call in sorted(found) if found[call]}


def _sum(counters: Mapping[str, float], name: str, table: str = "") -> float:
    """Over all labels, or over the tables whose name ends so."""
    return sum(
        count
        for key, count in counters.items()
        if (key == name or key.startswith(name + "{")) and (not table or key.endswith(f'{table}"}}'))
    )
