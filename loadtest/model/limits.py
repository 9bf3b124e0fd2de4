"""Which limit a rate meets first. Pure. Limits of AWS are quotas as published; limits of ours are named so."""

from msgspec import Struct

from loadtest.model.facts import Measured, Quotas
from loadtest.model.hops import CALL_SECONDS, MESSAGES, Hops
from workers.packing import GROUPS

HAND_SECONDS = 0.1
"""A batch in a projector's hands on AWS, from its receive to its deletion: a round number."""


class Limit(Struct, frozen=True):
    """`share`: of what is allowed; over 1 it does not work."""

    name: str
    used: float
    allowed: float
    moved_by: str

    @property
    def share(self) -> float:
        return self.used / self.allowed


def limits(at: Hops, measured: Measured, quotas: Quotas) -> list[Limit]:
    """All of them, the nearest first."""
    units = -(-measured.bytes.item // 1024)
    uses = {
        "sqs_calls": ("calls of the commands queue", max(at.sends, at.receives)),
        "sqs_group_calls": ("calls of one partition's message group", at.parcels / at.partitions),
        "sqs_in_flight": ("messages in flight, commands", at.parcels * HAND_SECONDS),
        "sns_messages": ("messages to the topic", at.messages),
        "sns_bytes": ("bytes to the topic", at.published_bytes),
        "dynamodb_table_units": ("write units of the event store", at.rate * units),
    }
    found = [Limit(name, used, quotas.quotas[key].value, quotas.quotas[key].moved_by) for key, (name, used) in uses.items()]
    moved = f"HEADRACE_GATHER_SECONDS: fuller messages; GROUPS, which is {GROUPS}, is no setting"
    group = quotas.quotas["sqs_group_calls"]
    found.append(Limit("calls of one group of a projector's queue", at.messages / GROUPS, group.value, moved))
    most = GROUPS * MESSAGES * at.commits_a_message / (HAND_SECONDS + CALL_SECONDS)
    found.append(Limit("commits through a projector's message groups (ours)", at.rate, most, moved))
    measured_most = measured.events_a_second_of_a_projector
    found.append(
        Limit("events a second into PostgreSQL, as measured here", at.rate, measured_most, "a PostgreSQL of its own: not measured")
    )
    return sorted(found, key=lambda limit: -limit.share)
