"""Calls made cheaper are the same calls."""

import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, quote_plus

import msgspec
import pytest
from botocore.parsers import create_parser
from botocore.serialize import JSONSerializer
from botocore.session import get_session
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.aws import open_aws
from runtime.aws_lean import OneEndpoint, QuickJson, _quote_body, is_plain, quoted, read_records
from runtime.settings import Settings

AWAY = "http://127.0.0.1:1"


@given(st.binary(max_size=200))
def test_quoting_is_the_libraries(value: bytes) -> None:
    assert quoted(value) == quote_plus(value).encode()


@given(st.text(max_size=100))
def test_text_comes_back(text: str) -> None:
    value = text.encode("utf-8", "replace")
    assert parse_qsl(f"m={quoted(value).decode()}", keep_blank_values=True) == [("m", value.decode())]


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


async def sent(endpoint: str | None, lean: bool) -> Any:
    """The request of a publish as it would leave."""
    seen: list[Any] = []

    def stop(request: Any, **_: Any) -> None:
        seen.append(request)
        raise InterruptedError

    async with open_aws(replace(Settings(), aws_endpoint_url=endpoint or "")) as aws:
        sns: Any = await aws.sns()
        assert isinstance(sns._ruleset_resolver, OneEndpoint)
        if not lean:
            sns._ruleset_resolver = sns._ruleset_resolver._resolver
            sns.meta.events.unregister("before-call.sns", _quote_body)
        sns.meta.events.register_last("before-send.sns", stop)
        entry = {"Id": "1", "Message": '{"a": "é 😀 %+&="}', "MessageGroupId": "p1"}
        for _ in range(2):
            with pytest.raises(InterruptedError):
                await sns.publish_batch(TopicArn="arn:aws:sns:eu-west-1:1:t.fifo", PublishBatchRequestEntries=[entry])
    return seen


@pytest.mark.parametrize("endpoint", [AWAY, None])
async def test_a_lean_call_is_the_call_botocore_would_make(endpoint: str | None) -> None:
    lean, plain = await sent(endpoint, lean=True), await sent(endpoint, lean=False)
    for ours, theirs in zip(lean, plain, strict=True):
        assert ours.url == theirs.url
        assert parse_qsl(ours.body.decode()) == parse_qsl(theirs.body)
        assert ours.headers["Content-Length"] == theirs.headers["Content-Length"]
        assert b"headrace" in ours.headers["User-Agent"]


ANSWER: Any = get_session().get_service_model("dynamodbstreams").operation_model("GetRecords").output_shape
PARSER = create_parser("json")
values = st.recursive(
    st.one_of(st.builds(lambda t: {"S": t}, st.text()), st.builds(lambda n: {"N": str(n)}, st.integers()), st.just({"NULL": True})),
    lambda inner: st.one_of(
        st.builds(lambda v: {"L": v}, st.lists(inner)), st.builds(lambda v: {"M": v}, st.dictionaries(st.text(), inner))
    ),
    max_leaves=4,
)
images = st.dictionaries(st.text(max_size=8), values, max_size=4)
changes = st.fixed_dictionaries(
    {"Keys": images, "SequenceNumber": st.integers(0, 10**30).map(str), "StreamViewType": st.just("NEW_IMAGE")},
    optional={"NewImage": images, "ApproximateCreationDateTime": st.one_of(st.integers(0, 2**33), st.floats(0, 2**33))},
)
records = st.fixed_dictionaries({"eventName": st.sampled_from(["INSERT", "MODIFY", "REMOVE"]), "dynamodb": changes})
pages = st.fixed_dictionaries({"Records": st.lists(records)}, optional={"NextShardIterator": st.none() | st.text(min_size=1)})


def parsed(body: bytes, status: int = 200, *, lean: bool) -> Any:
    """As botocore's endpoint does it."""
    answer: dict[str, Any] = {"status_code": status, "headers": {}, "body": body}
    instead: dict[str, Any] = {}
    if lean:
        read_records(response_dict=answer, customized_response_dict=instead)
    found: dict[str, Any] = PARSER.parse(answer, ANSWER)
    return found | instead


@settings(max_examples=50)
@given(pages)
def test_a_page_of_records_is_read_as_the_library_reads_it(page: dict[str, Any]) -> None:
    body = msgspec.json.encode(page)
    assert parsed(body, lean=True) == parsed(body, lean=False)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"__type": "com.amazonaws.dynamodb.v20120810#TrimmedDataAccessException", "message": "gone"}', 400),
        (b'{"NextShardIterator": "x"}', 200),
        (b'{"Records": [{"dynamodb": {"ApproximateCreationDateTime": 1700000000}}, {"eventName": "INSERT"}]}', 200),
    ],
)
def test_what_is_no_page_is_left_to_the_library(body: bytes, status: int) -> None:
    assert parsed(body, status, lean=True) == parsed(body, status, lean=False)


OURS = {
    "sqs": ("SendMessageBatch", "ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch", "GetQueueAttributes"),
    "dynamodb": ("TransactWriteItems", "BatchExecuteStatement", "PutItem", "UpdateItem", "Query", "BatchGetItem", "GetItem", "Scan"),
    "dynamodbstreams": ("GetRecords", "DescribeStream"),
}


@pytest.mark.parametrize(("service", "operation"), [(service, name) for service, names in OURS.items() for name in names])
async def test_what_we_call_often_is_plain(service: str, operation: str) -> None:
    model = get_session().get_service_model(service).operation_model(operation)
    assert is_plain(model.input_shape, set())


@pytest.mark.parametrize(
    ("service", "operation"), [("dynamodb", "ExportTableToPointInTime"), ("dynamodbstreams", "GetShardIterator"), ("lambda", "Invoke")]
)
async def test_times_and_names_of_their_own_are_left_to_botocore(service: str, operation: str) -> None:
    model = get_session().get_service_model(service).operation_model(operation)
    assert not is_plain(model.input_shape, set())


VALUE = st.recursive(
    st.one_of(
        st.builds(lambda text: {"S": text}, st.text(max_size=20)),
        st.builds(lambda number: {"N": str(number)}, st.integers()),
        st.builds(lambda raw: {"B": raw}, st.binary(max_size=20)),
        st.just({"NULL": True}),
    ),
    lambda inner: st.one_of(
        st.builds(lambda values: {"L": values}, st.lists(inner, max_size=3)),
        st.builds(lambda values: {"M": values}, st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    ),
)


@settings(max_examples=60)
@given(st.lists(st.dictionaries(st.text(max_size=5), VALUE, max_size=4), min_size=1, max_size=3))
def test_json_says_what_botocores_says(items: list[dict[str, Any]]) -> None:
    model = get_session().get_service_model("dynamodb").operation_model("TransactWriteItems")
    given_params = {"TransactItems": [{"Put": {"TableName": "t", "Item": item, "ConditionExpression": "x"}} for item in items]}
    botocores = JSONSerializer()
    quick = QuickJson(botocores)
    for _ in range(2):  # the second time from what the first left
        ours, theirs = (each.serialize_to_request(given_params, model) for each in (quick, botocores))
        assert json.loads(ours.pop("body")) == json.loads(theirs.pop("body"))
        assert ours == theirs
        ours["headers"]["X-Amz-Date"] = "added by who signs it"


def test_what_is_no_utf8_is_left_to_botocore() -> None:
    model = get_session().get_service_model("sqs").operation_model("SendMessage")
    parameters = {"QueueUrl": "q", "MessageBody": "\ud800"}
    botocores = JSONSerializer()
    assert QuickJson(botocores).serialize_to_request(parameters, model) == botocores.serialize_to_request(parameters, model)


async def test_our_clients_have_it() -> None:
    async with open_aws(replace(Settings(), aws_endpoint_url=AWAY)) as aws:
        quick: list[Any] = [await aws.sqs(), await aws.dynamodb(), await aws.streams()]
        assert all(isinstance(client._serializer, QuickJson) for client in quick)
        sns: Any = await aws.sns()
        assert not isinstance(sns._serializer, QuickJson)
