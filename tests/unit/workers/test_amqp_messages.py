"""An event as others receive it from RabbitMQ: the bytes and properties of today are those of the first release."""

from pathlib import Path

import msgspec
import pytest
from msgspec import Raw, Struct

from events.domain import CommandType, Decider, Domain, Registry, Upcast
from events.envelope import Recorded
from events.ids import CommandId, Fingerprint, StreamId, Version
from runtime.errors import ConfigurationError
from runtime.times import Micros, parse_rfc3339
from tests.unit.readmodel.commits import REGISTRY
from workers.amqp.exchange import _message
from workers.amqp.messages import SHORT, check_names, event_message

GOLDEN = Path(__file__).parents[2] / "golden"
AT = parse_rfc3339("2026-01-31T23:59:59.000001Z")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
RECORDED = Recorded(
    name="comment.created.v1",
    data=Raw('{"picture_id":"p1","author":"ada","text":"שלום 🌊 \\"x\\"\\n"}'.encode()),
    at=AT,
    actor="ada",
    command_id=CommandId("key-1"),
    fingerprint=Fingerprint("0" * 16),
    correlation_id="order-42",
    traceparent=TRACE,
)


def properties(stream: str, recorded: Recorded, version: int = 1) -> dict[str, object]:
    message = _message(event_message(REGISTRY, StreamId(stream), Version(version), recorded))
    given = {name: getattr(message.properties, name) for name in message.properties.attributes()}
    return {name: value for name, value in given.items() if value is not None}


def test_the_message_is_the_golden_one() -> None:
    event = event_message(REGISTRY, StreamId("comment-c1"), Version(1), RECORDED)
    assert event.body == (GOLDEN / "amqp_event.json").read_bytes()
    assert event.routing_key == "comment.created"
    said = properties("comment-c1", RECORDED)
    assert (
        msgspec.json.format(msgspec.json.encode(said, order="deterministic")) + b"\n"
        == (GOLDEN / "amqp_event_properties.json").read_bytes()
    )


def test_a_tenant_is_named_and_without_a_trace_there_is_none() -> None:
    plain = msgspec.structs.replace(RECORDED, correlation_id="", traceparent="")
    event = event_message(REGISTRY, StreamId("acme/comment-c1"), Version(2), plain)
    assert msgspec.json.decode(event.body)["tenant"] == "acme"
    said = properties("acme/comment-c1", plain, 2)
    assert (said["message_id"], said["correlation_id"], said["headers"]) == ("acme/comment-c1@2", "key-1", {})


def test_what_is_too_long_for_amqp_is_hashed_and_stays_the_same() -> None:
    stream, other = (StreamId(f"{'t' * 128}/comment-{letter * 128}") for letter in "ab")
    recorded = msgspec.structs.replace(RECORDED, correlation_id="é" * 200)
    first, again = (event_message(REGISTRY, stream, Version(1), recorded) for _ in range(2))
    assert (len(first.id), len(first.correlation_id)) == (32, 32)
    assert first == again
    ids = {first.id, event_message(REGISTRY, stream, Version(2), recorded).id, event_message(REGISTRY, other, Version(1), recorded).id}
    assert len(ids) == 3


class Opened(Struct, frozen=True):
    number: str


def domain(stored: str) -> Registry:
    decider = Decider(None, lambda _command, _state, _context: [], lambda state, _event, _at: state)
    commands = {"box.open": CommandType(Opened, lambda _: None)}
    return Registry(
        [Domain("box", commands, {stored: Opened}, decider, {"box.opened.v1": Upcast(stored, lambda data: {"number": data["n"]})})]
    )


def test_an_old_event_is_sent_in_todays_form_under_its_public_name() -> None:
    old = Recorded("box.opened.v1", Raw(b'{"n":"7"}'), Micros(1), "ann", CommandId("c"), Fingerprint("f"))
    event = event_message(domain("box.opened.v2"), StreamId("box-1"), Version(1), old)
    assert event.routing_key == "box.opened"
    assert msgspec.json.decode(event.body)["data"] == {"number": "7"}


def test_a_name_that_no_routing_key_can_hold_is_refused_at_the_start() -> None:
    check_names(REGISTRY)
    check_names(domain("n" * SHORT + ".v2"))
    with pytest.raises(ConfigurationError, match="more than 255 bytes"):
        check_names(domain("n" * (SHORT + 1) + ".v2"))
