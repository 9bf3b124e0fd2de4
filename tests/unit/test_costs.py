"""Counters to usage to dollars, and the price table."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict

from headrace import cli
from headrace.costs.billing import bill
from headrace.costs.prices import Prices, load_prices, parse_prices
from headrace.costs.usage import Usage, usage_of
from headrace.errors import WrongUse
from runtime.metrics import exposition

PRICES = Prices("us-east-1", "2026-01-01", 0.5, 0.3, 0.017, 0.01, 0.001, 0.625, 0.125, 0.02)
MILLION = 1_000_000
GB = 2**30


def test_each_service_is_billed_by_its_own_units() -> None:
    usage = Usage(
        requests={"sqs.ReceiveMessage": 7, "dynamodb.PutItem": 9},
        chunks={"sqs.SendMessageBatch": 2 * MILLION, "sqs.ReceiveMessage": MILLION, "sns.PublishBatch": 2 * MILLION},
        sns_bytes=GB, sns_deliveries=4 * MILLION, sns_delivered_bytes=2 * GB,
        stream_reads=300_000,
        commit_units=2.0 * MILLION, commit_units_as_run=4.0 * MILLION, other_write_units=1.0 * MILLION, read_units=8.0 * MILLION,
    )  # fmt: skip
    found = bill(usage, PRICES, 4 * MILLION)
    assert found.sqs == pytest.approx(1.5)
    assert found.sns == pytest.approx(0.6 + 0.017 + 0.04 + 0.002)
    assert found.dynamodb == pytest.approx(3 * 0.625 + 1)
    assert found.streams == pytest.approx(0.06)
    assert found.total == pytest.approx(found.sqs + found.sns + found.dynamodb + found.streams)
    assert found.as_run == pytest.approx(found.total + 2 * 0.625)
    assert found.floor == pytest.approx(1.25)
    assert found.per_million.total == pytest.approx(found.total / 4)
    assert found.per_million.floor == pytest.approx(1.25 / 4)
    assert found.per_million.as_run == pytest.approx(found.as_run / 4)


def test_without_commands_there_is_a_cost_but_none_per_command() -> None:
    found = bill(Usage(stream_reads=100_000), PRICES, 0)
    assert found.total == pytest.approx(0.02)
    assert set(asdict(found.per_million).values()) == {None}


COUNTS = st.floats(0, 1e9)


@given(COUNTS, COUNTS, COUNTS, st.integers(0, 10**9), st.integers(1, 10**9))
def test_the_floor_is_below_the_total_and_more_use_never_costs_less(
    commits: float, other: float, reads: float, requests: int, commands: int
) -> None:
    usage = Usage(
        chunks={"sqs.X": requests}, commit_units=commits, other_write_units=other, read_units=reads, commit_units_as_run=2 * commits
    )
    more = Usage(
        chunks={"sqs.X": requests + 1}, commit_units=commits, other_write_units=other, read_units=reads, commit_units_as_run=2 * commits
    )
    found = bill(usage, PRICES, commands)
    assert 0 <= found.floor <= found.total * (1 + 1e-9) <= found.as_run * (1 + 2e-9)
    assert bill(more, PRICES, commands).total >= found.total


def test_usage_is_read_off_the_counters_by_their_labels() -> None:
    usage = usage_of(
        {
            'headrace_aws_requests_total{call="GetRecords",service="dynamodbstreams"}': 5.0,
            'headrace_aws_requests_total{call="PutItem",service="dynamodb"}': 3.0,
            'headrace_aws_chunks_total{call="SendMessageBatch",service="sqs"}': 4.0,
            'headrace_aws_chunks_total{call="PublishBatch",service="sns"}': 2.0,
            "headrace_aws_empty_receives_total": 6.0,
            "headrace_aws_sns_messages_total": 10.0,
            "headrace_aws_sns_bytes_total": 1000.0,
            "headrace_aws_empty_stream_reads_total": 1.0,
            'headrace_aws_write_units_total{table="a-events"}': 7.0,
            'headrace_aws_write_units_total{table="a-control"}': 2.0,
            'headrace_aws_write_units_as_run_total{table="a-events"}': 14.0,
            'headrace_aws_write_units_as_run_total{table="a-control"}': 2.0,
            'headrace_aws_read_units_total{table="a-events"}': 1.5,
            'headrace_commands_total{status="applied"}': 90.0,
            'headrace_commands_total{status="rejected"}': 7.0,
            'headrace_commands_total{status="failed"}': 3.0,
            'headrace_commands_total{status="accepted"}': 95.0,
            'headrace_aws_requests_created{call="GetRecords",service="dynamodbstreams"}': 1e9,
        }
    )
    assert usage.requests == {"dynamodb.PutItem": 3, "dynamodbstreams.GetRecords": 5}
    assert (usage.billed_requests("sqs"), usage.billed_requests("sns")) == (4, 2)
    assert (usage.stream_reads, usage.empty_stream_reads, usage.empty_receives) == (5, 1, 6)
    assert (usage.sns_messages, usage.sns_bytes, usage.sns_deliveries, usage.sns_delivered_bytes) == (10, 1000, 20, 2000)
    assert (usage.commit_units, usage.other_write_units, usage.write_units, usage.write_units_as_run) == (7, 2, 9, 16)
    assert (usage.read_units, usage.commands) == (1.5, 100)


def test_our_prices_are_dated_and_of_a_region() -> None:
    ours = load_prices()
    assert ours.region == "us-east-1"
    assert ours.date.startswith("20")


def test_the_document_names_every_price_and_every_metric() -> None:
    document = (Path(__file__).parents[2] / "docs" / "costs.md").read_text(encoding="utf-8")
    names = [*Prices.__struct_fields__[2:], *re.findall(r"headrace_aws_\w+_total", exposition().decode())]
    assert [name for name in names if f"`{name}" not in document] == []


def table(**changed: Any) -> str:
    return json.dumps(asdict(PRICES) | changed)


def test_a_users_table_replaces_ours(tmp_path: Path) -> None:
    (tmp_path / "prices.json").write_text(table(region="eu-central-1", sqs_fifo_million_requests=9))
    assert load_prices(tmp_path / "prices.json").sqs_fifo_million_requests == 9


def test_every_fault_of_a_table_is_named_at_once() -> None:
    text = table(region="", date="last week", sqs_fifo_million_requests=-1, sns_fifo_published_gb="cheap", dynamodb_million_read_units=True)
    with pytest.raises(WrongUse) as told:
        parse_prices(text.replace('"streams_hundred_thousand_reads"', '"streams"'), "mine.json")
    said = str(told.value)
    assert said.startswith("mine.json: ")
    for fault in (
        "region: not", "date: not YYYY-MM-DD", "sqs_fifo_million_requests: not", "sns_fifo_published_gb: not",
        "dynamodb_million_read_units: not", "streams_hundred_thousand_reads: missing", "streams: no such price",
    ):  # fmt: skip
        assert fault in said


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"region": NaN}', "null"])
def test_what_is_no_table_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(WrongUse) as told:
        parse_prices(text, "mine.json")
    assert "\n" not in str(told.value)


def test_the_command_says_what_is_wrong_and_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["costs", "--state", str(tmp_path)]) == 2
    assert capsys.readouterr() == ("", f"headrace costs: no stack is up in {tmp_path}\n")
    assert cli.main(["costs", "--state", str(tmp_path), "--prices", str(tmp_path / "none.json")]) == 2
    assert capsys.readouterr() == ("", f"headrace costs: {tmp_path / 'none.json'}: No such file or directory\n")
