"""Counts what every AWS client is billed for, by botocore's own events; the units are explained in docs/costs.md.

On the hot path, so: a dict's increment for each request, and sizes only where they change the bill. Appends are told by who makes
them (`count_append`), since the event store knows a commit's size without looking through an item again.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from runtime.item_size import item_size, read_units, text_size, write_units
from runtime.metrics import (
    AWS_CHUNKS,
    AWS_FAILURES,
    AWS_REQUESTS,
    EMPTY_RECEIVES,
    EMPTY_STREAM_READS,
    READ_UNITS,
    SNS_BYTES,
    SNS_MESSAGES,
    WRITE_UNITS,
    WRITE_UNITS_AS_RUN,
)

CHUNK_BYTES: Final = 64 * 1024
_UTF8_MOST: Final = 4
_SEND_BATCH: Final = ("sqs", "SendMessageBatch")
_SEND: Final = ("sqs", "SendMessage")
_PUBLISH: Final = ("sns", "PublishBatch")
_RECEIVE: Final = ("sqs", "ReceiveMessage")
_READS: Final = ("GetItem", "BatchGetItem", "Query", "Scan")
_PARAMETERS: Final = "headrace_parameters"


def meter(client: Any, service: str) -> None:
    """From now on this client's requests are counted."""
    events = client.meta.events
    events.register(f"before-send.{service}", _Requests(service))
    events.register(f"after-call.{service}", _Failures(service))
    match service:
        case "sqs":
            events.register("before-parameter-build.sqs.SendMessageBatch", _sent_batch)
            events.register("before-parameter-build.sqs.SendMessage", _sent_one)
            events.register("after-call.sqs.ReceiveMessage", _received)
        case "sns":
            events.register("before-parameter-build.sns.PublishBatch", _published)
        case "dynamodbstreams":
            events.register("after-call.dynamodbstreams.GetRecords", _read_stream)
        case "dynamodb":
            events.register("before-parameter-build.dynamodb.PutItem", _put)
            for call in _READS:
                events.register(f"before-parameter-build.dynamodb.{call}", _will_read)
                events.register(f"after-call.dynamodb.{call}", _read)


def count_append(table: str, units: int, as_run: int) -> None:
    """`units`: write units of commits as the PartiQL append would have been billed for them; `as_run`: as the call made was."""
    WRITE_UNITS.counts[(table,)] += units
    WRITE_UNITS_AS_RUN.counts[(table,)] += as_run


class _Requests:
    """Every attempt on the wire (`before-send`), not every call of ours."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._chunked = service in {"sqs", "sns"}
        self._known: dict[str, tuple[str, str]] = {}

    def __call__(self, event_name: str, **_: Any) -> None:
        call = self._known.get(event_name)
        if call is None:
            call = self._known[event_name] = (self._service, event_name.rpartition(".")[2])
        AWS_REQUESTS.counts[call] += 1
        if self._chunked:
            AWS_CHUNKS.counts[call] += 1


class _Failures:
    """Answers that refuse; counted once a call."""

    def __init__(self, service: str) -> None:
        self._service = service

    def __call__(self, model: Any, parsed: Any, http_response: Any, **_: Any) -> None:
        if http_response.status_code >= 300:
            code = parsed.get("Error", {}).get("Code", str(http_response.status_code))
            AWS_FAILURES.labels(self._service, model.name, code).inc()


def _sent_batch(params: Any, **_: Any) -> None:
    entries: Sequence[Any] = params["Entries"]
    if _UTF8_MOST * sum(len(entry["MessageBody"]) for entry in entries) > CHUNK_BYTES:  # most are small: not worth measuring in UTF-8
        _further_chunks(_SEND_BATCH, sum(text_size(entry["MessageBody"]) for entry in entries))


def _sent_one(params: Any, **_: Any) -> None:
    _further_chunks(_SEND, text_size(params["MessageBody"]))


def _published(params: Any, **_: Any) -> None:
    entries: Sequence[Any] = params["PublishBatchRequestEntries"]
    size = sum(text_size(entry["Message"]) for entry in entries)
    _further_chunks(_PUBLISH, size)
    SNS_MESSAGES.counts[()] += len(entries)
    SNS_BYTES.counts[()] += size


def _received(parsed: Any, **_: Any) -> None:
    messages = parsed.get("Messages")
    if messages:
        _further_chunks(_RECEIVE, sum(text_size(message.get("Body", "")) for message in messages))
    elif "Error" not in parsed:
        EMPTY_RECEIVES.counts[()] += 1


def _further_chunks(call: tuple[str, str], size: int) -> None:
    """The first chunk is counted with the request."""
    if size > CHUNK_BYTES:
        AWS_CHUNKS.counts[call] += (size - 1) // CHUNK_BYTES


def _read_stream(parsed: Any, **_: Any) -> None:
    if not parsed.get("Records") and "Error" not in parsed:
        EMPTY_STREAM_READS.counts[()] += 1


def _put(params: Any, **_: Any) -> None:
    """Once a call: what was throttled before is not billed. A failed condition is."""
    units = write_units(item_size(params["Item"]))
    count_append(params["TableName"], units, units)


def _will_read(params: Any, context: Any, **_: Any) -> None:
    """The answer does not say whether it is consistent; the request does."""
    context[_PARAMETERS] = params


def _read(model: Any, parsed: Any, context: Any, **_: Any) -> None:
    if "Error" in parsed:
        return
    asked = context[_PARAMETERS]
    if model.name == "BatchGetItem":
        for table, units in _batch_units(asked, parsed).items():
            READ_UNITS.counts[(table,)] += units
        return
    items = parsed["Items"] if "Items" in parsed else [parsed.get("Item", {})]
    units = read_units(sum(map(item_size, items)), consistent=asked.get("ConsistentRead", False))
    READ_UNITS.counts[(asked["TableName"],)] += units


def _batch_units(asked: Any, parsed: Any) -> Mapping[str, float]:
    """Every item by itself is rounded up; a key without an item costs the least."""
    units = {}
    for table, wanted in asked["RequestItems"].items():
        consistent = wanted.get("ConsistentRead", False)
        items = parsed.get("Responses", {}).get(table, [])
        left = len(parsed.get("UnprocessedKeys", {}).get(table, {}).get("Keys", []))
        missing = len(wanted["Keys"]) - len(items) - left
        found = sum(read_units(item_size(item), consistent=consistent) for item in items)
        units[table] = found + missing * read_units(0, consistent=consistent)
    return units
