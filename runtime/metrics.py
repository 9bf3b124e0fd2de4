"""Counters and gauges of a process, in Prometheus' form. Names are stable; a role's `/metrics` prints them."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily

REGISTRY: Final = CollectorRegistry()


class Tally:
    """A counter for the hot path: `counts` is a plain dict of label values, twenty times as fast as the library's. One thread only."""

    def __init__(self, name: str, about: str, *labels: str) -> None:
        self._name, self._about, self._labels = name, about, labels
        self.counts: defaultdict[tuple[str, ...], float] = defaultdict(float)
        REGISTRY.register(self)

    def describe(self) -> list[Metric]:
        """Without it the registry would collect in order to know the name."""
        return [CounterMetricFamily(self._name, self._about, labels=self._labels)]

    def collect(self) -> Iterator[Metric]:
        """For the registry."""
        family = CounterMetricFamily(self._name, self._about, labels=self._labels)
        for values, count in self.counts.items():
            family.add_metric(values, count)
        yield family


AWS_REQUESTS: Final = Tally("headrace_aws_requests", "AWS requests sent, retries included", "service", "call")
AWS_CHUNKS: Final = Tally("headrace_aws_chunks", "SQS and SNS requests as billed: one for each 64 KB of payload begun", "service", "call")
EMPTY_RECEIVES: Final = Tally("headrace_aws_empty_receives", "SQS receives that brought nothing")
SNS_MESSAGES: Final = Tally("headrace_aws_sns_messages", "Messages published to SNS")
SNS_BYTES: Final = Tally("headrace_aws_sns_bytes", "Bytes of the messages published to SNS")
EMPTY_STREAM_READS: Final = Tally("headrace_aws_empty_stream_reads", "GetRecords calls that brought nothing")
READ_UNITS: Final = Tally("headrace_aws_read_units", "DynamoDB read units", "table")
WRITE_UNITS: Final = Tally("headrace_aws_write_units", "DynamoDB write units, commits as the PartiQL append is billed", "table")
WRITE_UNITS_AS_RUN: Final = Tally("headrace_aws_write_units_as_run", "DynamoDB write units as this backend's append is billed", "table")
AWS_FAILURES: Final = Counter("headrace_aws_failures", "AWS requests that failed", ["service", "call", "code"], registry=REGISTRY)
COMMANDS: Final = Counter("headrace_commands", "Commands by what became of them", ["status"], registry=REGISTRY)
REDRIVEN: Final = Counter(
    "headrace_redriven_commands",
    "Commands that came back from the dead-letter queue, by what became of them",
    ["status"],
    registry=REGISTRY,
)
COMMITS: Final = Counter("headrace_commits", "Commits by what a hop did with them", ["hop", "verdict"], registry=REGISTRY)
DISCARDS: Final = Counter(
    "headrace_discards", "What was set aside as unusable; every one is also stored", ["hop", "reason"], registry=REGISTRY
)
NUDGES: Final = Counter("headrace_nudges", "Second looks at a queue beside a poll that waits", ["result"], registry=REGISTRY)
HTTP: Final = Tally("headrace_http_requests", "HTTP answers", "route", "status")
STATE_CACHE: Final = Tally("headrace_state_cache", "Look-ups of a stream's state", "result")
STATE_CACHE_BYTES: Final = Gauge("headrace_state_cache_bytes", "Bytes that the cached states hold, about", registry=REGISTRY)
STATE_CACHE_STREAMS: Final = Gauge("headrace_state_cache_streams", "Streams whose state is cached", registry=REGISTRY)
SNAPSHOTS: Final = Counter("headrace_snapshots", "Snapshots of streams by what was done with them", ["verdict"], registry=REGISTRY)
REPUBLISHED: Final = Counter(
    "headrace_republished_commits",
    "Commits published again since a projector was past them and had not passed them",
    ["projector"],
    registry=REGISTRY,
)
TRAIL_PENDING: Final = Gauge("headrace_trail_pending", "Commits on the stream that some projector has not passed", registry=REGISTRY)
READS: Final = Counter("headrace_reads", "Queries by the tier that answered", ["source"], registry=REGISTRY)
CONFLICTS: Final = Counter(
    "headrace_database_conflicts", "Transactions that PostgreSQL ended for another's sake and that were tried again", registry=REGISTRY
)
PARKED: Final = Gauge(
    "headrace_parked_streams",
    "Streams parked for this projector, as PostgreSQL has them: the same in all its processes",
    ["reason"],
    registry=REGISTRY,
)
DISCARDED: Final = Gauge("headrace_discarded_streams", "Parked streams that an operator gave up, as PostgreSQL has them", registry=REGISTRY)
APPENDED_AT: Final = Gauge("headrace_appended_at_seconds", "Time of the newest commit appended", registry=REGISTRY)
BURST_AT: Final = Gauge("headrace_burst_at_seconds", "Time of the first commit after the last pause of a second", registry=REGISTRY)
BEFORE_BURST_AT: Final = Gauge("headrace_before_burst_at_seconds", "Time of the last commit before that pause", registry=REGISTRY)
MESSAGES: Final = Counter("headrace_messages", "Messages taken from a queue", ["queue"], registry=REGISTRY)
IN_HAND: Final = Gauge("headrace_in_hand_messages", "Messages of its queue that this process holds and has not settled", registry=REGISTRY)
ENVELOPES: Final = Counter("headrace_envelopes", "Commands or commits that were in them", ["queue"], registry=REGISTRY)
PARTITIONS_OTHER: Final = Counter(
    "headrace_other_partitions", "Batches with parcels packed under another number of partitions than the stack's", registry=REGISTRY
)
LEASES_HELD: Final = Gauge("headrace_leases_held", "Shards that this process reads", ["leases"], registry=REGISTRY)
LEASES_TAKEN: Final = Counter(
    "headrace_leases_taken",
    "Leases taken: free, expired, asked for from a busier owner, or our own again",
    ["leases", "was"],
    registry=REGISTRY,
)
LEASES_GIVEN: Final = Counter("headrace_leases_given", "Leases handed over to who asked for them", ["leases"], registry=REGISTRY)
LEASES_LOST: Final = Counter("headrace_leases_lost", "Leases that ended under this process", ["leases"], registry=REGISTRY)
SHARDS_UNREAD: Final = Gauge(
    "headrace_shards_unread", "Readable shards that nobody reads for three lease times", ["leases"], registry=REGISTRY
)
STREAM_LAG: Final = Gauge(
    "headrace_stream_lag_seconds", "Age of the newest record read when it was done with", ["leases"], registry=REGISTRY
)
PASSED_AT: Final = Gauge("headrace_passed_at_seconds", "Time of the newest commit this projector has passed", registry=REGISTRY)
FEED_PRUNED: Final = Counter("headrace_feed_pruned", "Rows of the feed of changes that were no longer kept", registry=REGISTRY)
FEED_FOLLOWERS: Final = Gauge("headrace_feed_followers", "Connections that follow the feed of changes", registry=REGISTRY)
FEED_EVENTS: Final = Tally("headrace_feed_events", "Events sent to those who follow the feed of changes")
FEED_MISSED: Final = Tally("headrace_feed_missed", "Followers who were told that they had missed changes")
HOP_SECONDS: Final = Histogram(
    "headrace_hop_seconds",
    "Time a batch took in this hop",
    ["hop"],
    registry=REGISTRY,
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
)


def exposition() -> bytes:
    """All metrics of this process as Prometheus text."""
    return generate_latest(REGISTRY)
