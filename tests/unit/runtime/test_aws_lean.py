"""Calls made cheaper are the same calls."""

from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.aws import open_aws
from runtime.aws_lean import OneEndpoint, _quote_body, quoted
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
