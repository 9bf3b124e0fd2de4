"""Several domains side by side: names are taken once, and every stored name leads to an event of today."""

from typing import Any

import pytest
from msgspec import Raw, Struct, ValidationError, json

from events.domain import CommandType, Decider, Domain, Registry, UnknownEvent, Upcast, public_name
from runtime.errors import ConfigurationError
from tests.support import ledger
from tests.support.said import COMMENTS, REGISTRY


class Ask(Struct):
    pass


class Done(Struct):
    pass


def domain(kind: str = "thing", **changes: Any) -> Domain:
    ask = {f"{kind}.ask": CommandType(Ask, lambda _: "1")}
    fields: dict[str, Any] = {"type": kind, "commands": ask, "events": {f"{kind}.done.v1": Done}}
    fields["decider"] = Decider(None, lambda *_: [], lambda *_: None)
    return Domain(**(fields | changes))


def same(each: dict[str, Any]) -> dict[str, Any]:
    return each


def test_two_domains_stand_side_by_side() -> None:
    assert REGISTRY.of_command("comment.create") is COMMENTS
    assert REGISTRY.of_stream("account-1") is ledger.DOMAIN
    assert REGISTRY.of_stream("t/comment-1") is COMMENTS
    assert REGISTRY.of_stream("order-1") is None
    assert REGISTRY.of_stream("no stream") is None
    assert REGISTRY.stream_of("account.open", "7", "t") == "t/account-7"


@pytest.mark.parametrize(
    ("other", "name"),
    [
        (domain("comment", commands={}, events={}), "comment"),
        (domain("other", commands=COMMENTS.commands), "comment.create"),
        (domain("other", events={"comment.created.v1": Done}), "comment.created.v1"),
        (domain("other", upcasts={"comment.created.v1": Upcast("other.done.v1", same)}), "comment.created.v1"),
    ],
)
def test_a_name_taken_twice_is_a_fault(other: Domain, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} is taken twice"):
        Registry([COMMENTS, other])


def test_all_faults_at_once() -> None:
    with pytest.raises(ConfigurationError) as wrong:
        Registry([COMMENTS, domain("other", commands=COMMENTS.commands, upcasts={"other.v0": Upcast("other.v9", same)})])
    assert len(wrong.value.faults) == len(COMMENTS.commands) + 1
    assert "other.v0 is upcast to other.v9, which is not stored" in wrong.value.faults[-1]


@pytest.mark.parametrize("to", ["thing.a.v0", "thing.b.v0"])
def test_upcasts_that_run_in_a_circle_are_a_fault(to: str) -> None:
    circle = {"thing.a.v0": Upcast(to, same), "thing.b.v0": Upcast("thing.a.v0", same)}
    with pytest.raises(ConfigurationError, match="circle"):
        Registry([domain(upcasts=circle)])


@pytest.mark.parametrize("kind", ["", "Order", "order-item", "ordér", "1st", "a" * 65, "a b"])
def test_a_type_that_no_stream_id_can_hold_is_a_fault(kind: str) -> None:
    """`order-item-7` would be read as item-7 of the type `order`."""
    with pytest.raises(ConfigurationError, match="type"):
        Registry([domain(kind)])


def test_events_go_out_under_their_stored_name_and_come_back() -> None:
    event = ledger.Booked(7, "for tea")
    stored, data = REGISTRY.write(event)
    assert stored == "account.booked.v2"
    assert REGISTRY.read(stored, data) == event


@pytest.mark.parametrize(("euros", "cents"), [("12.3", 1230), ("-0.05", -5), ("7", 700)])
def test_an_old_event_is_read_as_todays(euros: str, cents: int) -> None:
    data = Raw(json.encode({"euros": euros}))
    assert REGISTRY.read("account.booked.v1", data) == ledger.Booked(cents)
    stored, current = REGISTRY.current("account.booked.v1", data)
    assert (stored, json.decode(current)) == ("account.booked.v2", {"cents": cents, "note": ""})


def test_upcasts_follow_one_another() -> None:
    steps = {"thing.done.v-1": Upcast("thing.done.v0", lambda old: old | {"n": 1}), "thing.done.v0": Upcast("thing.done.v1", same)}
    assert Registry([domain(upcasts=steps)]).current("thing.done.v-1", Raw(b"{}"))[0] == "thing.done.v1"


def test_a_name_nobody_knows_and_data_that_does_not_fit() -> None:
    with pytest.raises(UnknownEvent, match=r"comment\.painted\.v1"):
        REGISTRY.read("comment.painted.v1", Raw(b"{}"))
    with pytest.raises(ValidationError):
        REGISTRY.read("comment.updated.v1", Raw(b"{}"))


@pytest.mark.parametrize(
    ("stored", "public"), [("comment.created.v1", "comment.created"), ("a.v12", "a"), ("a.view", "a.view"), ("a.v", "a.v"), ("v1", "v1")]
)
def test_public_names(stored: str, public: str) -> None:
    assert public_name(stored) == public
