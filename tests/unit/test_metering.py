"""What was spent between two looks, restarts and several processes of a role included."""

from headrace.metering import Process, Reading, spent

RECEIVES = 'headrace_aws_requests_total{call="ReceiveMessage",service="sqs"}'
PUTS = 'headrace_aws_requests_total{call="PutItem",service="dynamodb"}'


def process(role: str, pid: int, cpu: float, peak: float, counters: dict[str, float] | None, *, started: int = 1) -> Process:
    return Process(role, pid, started, cpu, peak / 2, peak, counters)


def test_the_difference_by_role_and_in_all() -> None:
    before = Reading((process("relay", 1, 100, 40, {PUTS: 3.0}), process("commands", 2, 50, 30, {RECEIVES: 5.0})))
    after = Reading((process("relay", 1, 170, 60, {PUTS: 4.0, RECEIVES: 1.0}), process("commands", 2, 50, 30, {RECEIVES: 9.0})))
    found = spent(before, after)
    assert found.requests == {"dynamodb.PutItem": 1, "sqs.ReceiveMessage": 5}
    assert found.requests_by_role == {"relay": {"dynamodb.PutItem": 1, "sqs.ReceiveMessage": 1}, "commands": {"sqs.ReceiveMessage": 4}}
    assert found.cpu_ms == {"relay": 70, "commands": 0}
    assert found.peak_rss_mb == {"relay": 60, "commands": 30}
    assert found.usage.requests == found.requests
    assert found.usage_by_role["relay"].requests == found.requests_by_role["relay"]


def test_a_role_of_several_processes_is_their_sum() -> None:
    before = Reading((process("gateway", 1, 10, 40, {RECEIVES: 1.0}), process("gateway", 2, 20, 50, {RECEIVES: 2.0})))
    after = Reading((process("gateway", 1, 15, 40, {RECEIVES: 2.0}), process("gateway", 2, 27, 50, {RECEIVES: 4.0})))
    found = spent(before, after)
    assert (found.requests, found.cpu_ms, found.peak_rss_mb) == ({"sqs.ReceiveMessage": 3}, {"gateway": 12}, {"gateway": 90})
    assert after.pids == {"gateway": (1, 2)}
    assert (after.rss_mb, after.counters) == ({"gateway": 45}, {"gateway": {RECEIVES: 6}})


def test_of_a_role_that_restarted_only_its_last_life_counts_even_under_the_same_pid() -> None:
    before = Reading((process("relay", 1, 100, 40, {PUTS: 30.0}),))
    for reborn in (process("relay", 9, 7, 20, {PUTS: 2.0}), process("relay", 1, 7, 20, {PUTS: 2.0}, started=5)):
        found = spent(before, Reading((reborn,)))
        assert (found.requests, found.cpu_ms) == ({"dynamodb.PutItem": 2}, {"relay": 7})


def test_a_process_that_did_not_answer_is_named_and_nothing_is_made_up() -> None:
    before = Reading((process("relay", 1, 100, 40, None),))
    after = Reading((process("relay", 1, 150, 40, {PUTS: 30.0}),))
    assert spent(before, after).requests == {}
    assert spent(after, before).requests == {}
    assert (before.silent, after.silent) == (("relay",), ())


def test_the_topic_delivers_once_more_where_there_is_a_projector_for_rabbitmq() -> None:
    sent = {"headrace_aws_sns_messages_total": 10.0, "headrace_aws_sns_bytes_total": 1000.0}
    relay, amqp = process("relay", 1, 0, 0, sent), process("projector-amqp", 2, 0, 0, {RECEIVES: 1.0})
    assert spent(Reading(()), Reading((relay,))).usage.sns_deliveries == 20
    with_amqp = spent(Reading(()), Reading((relay, amqp)))
    assert (with_amqp.usage.sns_deliveries, with_amqp.usage.sns_delivered_bytes) == (30, 3000)
    assert with_amqp.usage_by_role["relay"].sns_deliveries == 30
    assert with_amqp.cpu_ms == {"relay": 0, "projector-amqp": 0}
