"""How commands become one commit: what is remembered, what is proved by what, and where a commit ends."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw, Struct, structs

from events.deciding import MAX_COMMIT_BYTES, Draft, confirm, decide
from events.domain import CommandType, Context, Decider, Domain, Registry
from events.dynamo_items import to_item
from events.envelope import Command
from events.history import WINDOW, History
from events.ids import StreamId
from events.outcome import Status
from runtime.times import Micros
from tests.support.said import REGISTRY, create, delete, empty, said, told, update

ITEM_BYTES = 400_000  # what DynamoDB takes is 409,600, names included


def after(*commands: Command, history: History | None = None) -> History:
    """The history that these commands, in one parcel, leave."""
    history = history or empty(commands[0].stream)
    waiting = list(commands)
    while waiting:
        draft = decide(history, waiting, REGISTRY)
        confirm(history, draft)
        waiting = waiting[len(draft.outcomes) :]
    return history


def statuses(draft: Draft) -> list[tuple[str, int, str]]:
    return [(each.status.value, each.version, each.reason) for each in draft.outcomes]


texts = st.sampled_from(["a", "b", "c"])
commands = st.one_of(st.builds(create, text=texts), st.builds(update, text=texts, actor=st.sampled_from(["ann", "bob"])), st.builds(delete))


@given(st.lists(commands, min_size=1, max_size=8), st.data())
@settings(max_examples=150, deadline=None)
def test_a_repeated_command_decides_nothing(asked: list[Command], data: st.DataObject) -> None:
    history = after(*asked)
    again = data.draw(st.lists(st.sampled_from(asked), min_size=1))
    draft = decide(history, [each for each in again if (each.actor, each.id) in history.seen], REGISTRY)
    assert (draft.events, draft.guessed, draft.settled) == ([], 0, dict(history.unsettled))


@given(st.lists(commands, min_size=1, max_size=8), st.data())
@settings(max_examples=150, deadline=None)
def test_a_retry_under_the_same_id_leaves_one_effect(asked: list[Command], data: st.DataObject) -> None:
    """Wherever in the same parcel or later parcels its repeats stand."""
    repeats = [data.draw(st.integers(1, 3)) for _ in asked]
    flat = [each for each, times in zip(asked, repeats, strict=True) for _ in range(times)]
    once, often = after(*asked), after(*flat)
    assert (once.version, once.state.text if once.state else None) == (often.version, often.state.text if often.state else None)
    assert once.seen.keys() == often.seen.keys()


def test_one_commit_for_all_commands_of_a_stream() -> None:
    draft = decide(empty(), [create(), update(text="b"), update(text="b"), delete(), delete()], REGISTRY)
    assert statuses(draft) == [
        ("applied", 1, ""),
        ("applied", 2, ""),
        ("applied", 2, ""),
        ("applied", 3, ""),
        ("rejected", 3, "comment_deleted"),
    ]
    commit = draft.commit()
    assert (commit.first, commit.last, commit.previous, len(commit.recorded()), len(commit.settled)) == (1, 3, 0, 3, 2)
    assert not draft.needs_proof  # the append proves the refusal too


def test_what_changes_nothing_is_proved_by_nothing() -> None:
    assert decide(empty(), [update()], REGISTRY).needs_proof
    history = after(create())
    assert decide(history, [update(text="hello")], REGISTRY).needs_proof
    assert not decide(history, [], REGISTRY).needs_proof


def test_a_known_id_needs_no_proof_even_beside_an_unproved_refusal() -> None:
    first = create(key="k")
    history = after(first)
    assert not decide(history, [first], REGISTRY).needs_proof
    assert decide(history, [first, create()], REGISTRY).needs_proof


def test_settled_ids_ride_with_the_next_commit_and_are_answered_from_it() -> None:
    refused = update(actor="bob")
    history = after(refused, history=after(create()))
    assert history.unsettled.keys() == {("bob", refused.id)}
    draft = decide(history, [update(text="b")], REGISTRY)
    assert [each.command_id for each in draft.commit().settled] == [refused.id]
    confirm(history, draft)
    assert history.unsettled == {}
    assert statuses(decide(history, [refused], REGISTRY)) == [("rejected", 1, "not_the_author")]
    assert decide(history, [refused], REGISTRY).guessed == 0


def test_another_command_under_a_known_id_is_refused() -> None:
    history = after(create(key="k"))
    draft = decide(history, [update(text="b", key="k")], REGISTRY)
    assert statuses(draft) == [("rejected", 1, "command_id_reused")]
    assert draft.settled == {}  # the id keeps the outcome it has


def test_in_one_parcel_too() -> None:
    draft = decide(empty(), [create(key="k"), update(text="b", key="k")], REGISTRY)
    assert statuses(draft)[1] == ("rejected", 1, "command_id_reused")


def test_the_same_key_of_another_caller_is_another_command() -> None:
    assert statuses(decide(after(create(key="k")), [update(text="b", key="k", actor="bob")], REGISTRY)) == [
        ("rejected", 1, "not_the_author")
    ]


def test_the_id_check_comes_before_the_expected_version() -> None:
    first = update(text="b", key="u", expected_version=1)
    history = after(create(), first)
    assert statuses(decide(history, [first], REGISTRY)) == [("applied", 2, "")]
    assert statuses(decide(history, [update(text="c", expected_version=1)], REGISTRY)) == [("rejected", 2, "version_conflict")]
    assert statuses(decide(history, [update(text="c", expected_version=2)], REGISTRY)) == [("applied", 3, "")]


def test_expected_version_counts_what_the_same_parcel_did() -> None:
    draft = decide(empty(), [create(expected_version=0), update(text="b", expected_version=1)], REGISTRY)
    assert [each[0] for each in statuses(draft)] == ["applied", "applied"]


def test_unknown_and_malformed_commands_are_refused_one_by_one() -> None:
    odd = structs.replace(create(), name="comment.paint")
    bad = structs.replace(create(), data=Raw(b'{"picture_id":7}'))
    extra = structs.replace(create(), data=Raw(b'{"picture_id":"p","text":"t","comment_id":"1","%s":1}' % (b"x" * 100_000)))
    draft = decide(empty(), [odd, bad, extra, create()], REGISTRY)
    assert [each[2] for each in statuses(draft)] == ["unknown_command", "malformed", "malformed", ""]
    assert all(len(each.detail) <= 500 for each in draft.outcomes)


def test_times_rise_and_are_never_before_the_acceptance() -> None:
    history = after(create(accepted_at=100))
    draft = decide(history, [update(text=t, accepted_at=at) for t, at in (("a", 50), ("b", 50), ("c", 300))], REGISTRY)
    assert [each.at for each in draft.commit().recorded()] == [101, 102, 300]
    book = [
        said("account.open", {"account_id": "1"}, accepted_at=9),
        said("account.book", {"account_id": "1", "entries": [1, 2]}, accepted_at=9),
    ]
    assert [each.at for each in decide(empty("account-1"), book, REGISTRY).commit().recorded()] == [9, 10, 11]


def test_an_event_carries_what_its_command_said() -> None:
    asked = create(correlation_id="c", causation_id="e", traceparent="00-1", actor="bob")
    (recorded,) = decide(empty(), [asked], REGISTRY).commit().recorded()
    assert (recorded.name, recorded.actor, recorded.command_id, recorded.fingerprint) == (
        "comment.created.v1",
        "bob",
        asked.id,
        asked.fingerprint,
    )
    assert (recorded.correlation, recorded.causation_id, recorded.traceparent) == ("c", "e", "00-1")
    (plain,) = decide(empty(), [create(key="k")], REGISTRY).commit().recorded()
    assert plain.correlation == "k"


def test_a_commit_splits_at_200_kib_between_commands() -> None:
    long = [update(text=f"{n}" + "x" * 9_990) for n in range(30)]
    history, drafts = after(create()), []
    while long:
        drafts.append(decide(history, long, REGISTRY))
        confirm(history, drafts[-1])
        long = long[len(drafts[-1].outcomes) :]
    sizes = [len(bytes(draft.commit().events)) for draft in drafts]
    assert [len(draft.outcomes) for draft in drafts] == [20, 10]
    assert all(size <= MAX_COMMIT_BYTES + 1 for size in sizes)
    assert (drafts[1].commit().first, drafts[1].commit().previous) == (drafts[0].commit().last + 1, drafts[0].commit().first)


def test_a_command_whose_events_cannot_fit_is_refused() -> None:
    book = said("account.book", {"account_id": "1", "entries": [1] * 2_000, "note": "x" * 200})
    draft = decide(after(said("account.open", {"account_id": "1"})), [book], REGISTRY)
    assert statuses(draft) == [("rejected", 1, "too_large")]


def test_ever_so_many_refusals_leave_a_commit_that_its_item_can_hold() -> None:
    refused = [update(actor="b" * 128, key=f"{'k' * 120}{n}") for n in range(5_000)]
    long = [update(text=f"{n}" + "x" * 9_990) for n in range(19)]
    history = empty()
    first = decide(history, [create()], REGISTRY)
    confirm(history, first)
    draft = decide(history, [*refused, *long], REGISTRY)
    commit = draft.commit()
    assert sum(len(key) + len(value) for each in to_item(commit).values() for key, value in each.items()) < ITEM_BYTES
    assert [each.command_id for each in commit.settled][-1] == refused[-1].id  # the newest stay
    folded = empty().absorb([first.commit(), commit], REGISTRY)
    confirm(history, draft)
    assert told(folded) == told(history)


def test_refusals_alone_are_remembered_within_the_window() -> None:
    assert len(after(*(update(actor="bob") for _ in range(WINDOW + 500)), history=after(create())).unsettled) == WINDOW


class Boom(Struct, frozen=True, forbid_unknown_fields=True):
    comment_id: str


def _boom(command: Boom, state: object, context: Context | Micros) -> list[Struct]:
    raise ZeroDivisionError("secret")


BROKEN = Registry([Domain("comment", {"comment.boom": CommandType(Boom, lambda c: c.comment_id)}, {}, Decider(None, _boom, _boom))])


def test_a_deciders_bug_ends_its_command_alone() -> None:
    history = History(StreamId("comment-1"), BROKEN.domains[0].decider)
    boom, odd = said("comment.boom", {"comment_id": "1"}), said("comment.other", {"comment_id": "1"})
    draft = decide(history, [boom, odd], BROKEN)
    assert [each.status for each in draft.outcomes] == [Status.FAILED, Status.REJECTED]
    assert "secret" not in draft.outcomes[0].detail
    assert ("ann", boom.id) not in draft.seen  # it may be decided again, by better rules
    assert draft.needs_proof


@pytest.mark.parametrize(("redriven", "accepted_at", "needs"), [(True, 10**6, True), (False, 40, True), (False, 41, False)])
def test_older_than_the_window_or_redriven_is_decided_on_the_full_stream(redriven: bool, accepted_at: int, needs: bool) -> None:
    history = after(create())
    history.floor = Micros(40)
    command = update(text="b", accepted_at=accepted_at, redriven=redriven)
    draft = decide(history, [update(text="c"), command], REGISTRY) if not needs else decide(history, [command], REGISTRY)
    assert draft.needs_full is needs
    assert not decide(history, [command], REGISTRY, full=True).needs_full


def test_what_was_decided_before_a_command_that_needs_more_is_kept() -> None:
    history = after(create())
    history.floor = Micros(40)
    draft = decide(history, [update(text="c", accepted_at=50), update(text="d", redriven=True, accepted_at=60)], REGISTRY)
    assert (len(draft.outcomes), len(draft.events), draft.needs_full) == (1, 1, True)


def test_a_redriven_command_without_a_floor_needs_nothing() -> None:
    assert not decide(after(create()), [update(text="b", redriven=True)], REGISTRY).needs_full


def test_data_travels_as_it_was_decided() -> None:
    draft = decide(empty(), [create(text="שלום \U0001f600 \ufffe\uffff\x00\x1f")], REGISTRY)
    (recorded,) = draft.commit().recorded()
    assert msgspec.json.decode(recorded.data)["text"] == "שלום \U0001f600 \ufffe\uffff\x00\x1f"


def test_what_left_no_event_is_remembered_for_a_quarter_of_an_hour() -> None:
    """Counted from the commit that tells of it; what left events is remembered as long as the window reaches."""
    made, idle, refused = create(text="a"), update(text="a"), update(text="x", actor="bob")
    history = after(made, idle, refused, update(text="b"))
    for later, new in ((history.at + 900 * 1_000_000, False), (history.at + 900 * 1_000_000 + 1, True)):
        repeats = [structs.replace(each, accepted_at=Micros(later)) for each in (idle, refused, made)]
        draft = decide(history, repeats, REGISTRY)
        first = [("applied", 3, ""), ("rejected", 3, "not_the_author")] if new else [("applied", 1, ""), ("rejected", 1, "not_the_author")]
        assert statuses(draft) == [*first, ("applied", 1, "")]
        assert len(draft.events) == int(new)


def test_a_new_command_under_a_forgotten_id_is_exactly_once_too() -> None:
    idle = update(text="a")
    history = after(create(text="a"), idle, update(text="b"))
    again = structs.replace(idle, accepted_at=Micros(history.at + 1_000_000_000))
    once = after(again, again, history=history)
    draft = decide(once, [again, idle], REGISTRY)
    assert (once.version, statuses(draft)) == (3, [("applied", 3, "")] * 2)
