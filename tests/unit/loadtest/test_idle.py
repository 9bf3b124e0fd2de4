"""What a quiet stack's counters come to, and which bounds they miss."""

from headrace.costs.usage import usage_of
from headrace.metering import Spent
from loadtest.idle import Sizes, summed

CALLS = {"sqs.ReceiveMessage": 12, "dynamodbstreams.GetRecords": 30}


def used(requests: dict[str, int]) -> Spent:
    usage = usage_of({}, 2)
    return Spent(requests, {"relay": requests}, {"relay": 20.0}, {}, usage, {})


def test_requests_are_told_a_second_by_role_and_by_call() -> None:
    found = summed(Sizes(20.0, 1.0, 3), used(CALLS), 20.0, [90.0, 300.0, 110.0])
    assert found["requests_per_s"] == 2.1
    assert found["by_role"] == {"relay": 2.1}
    assert found["by_call"] == {"sqs.ReceiveMessage": 0.6, "dynamodbstreams.GetRecords": 1.5}
    assert found["cpu_ms_per_s"] == {"relay": 1.0}
    assert (found["visible_ms"], found["faults"]) == ({"p50": 110.0, "max": 300.0}, [])


def test_each_bound_that_is_missed_is_a_fault() -> None:
    found = summed(Sizes(10.0, 1.0, 3), used(CALLS), 10.0, [390.0, 410.0, 420.0])
    assert [each.split(";")[0] for each in found["faults"]] == ["4.20 requests a second", "visible after 410 ms at the median"]
