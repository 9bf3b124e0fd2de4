"""Each rule of the write side is needed: taken out, the model finds a schedule in which a command acts twice, is lost, or is lied to.

The model is the one of test_exactly_once: two workers, two lanes each, on one FIFO group, with redeliveries, stale caches, lost answers,
decisions without effect, a window of ids and a commit small enough to be met all the time, and snapshots every few events: written, used,
old, and wrong.
"""

import copy
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import pytest
import structlog
from msgspec.structs import replace

from events import deciding, snapshots
from events.deciding import Draft
from events.envelope import Command, Commit
from events.history import History
from events.memory_store import MemoryStore
from events.store import Appended
from runtime.metrics import SNAPSHOTS
from tests.support.broken_snapshots import a_snapshot_is_borne_out_by_the_store, a_snapshot_is_no_head, a_snapshot_knows_the_ids
from tests.support.schedules import live, schedule
from tests.support.virtual_time import run_virtually
from workers import rounds
from workers.jobs import Batch, Job
from workers.rounds import Rounds

SEEDS: Final = 1500
SMALL_WINDOW: Final = 2
SMALL_COMMIT: Final = 420
"""Bytes: two events or three."""
EVERY: Final = 2
"""Events that make a snapshot due."""
Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def small(monkeypatch: Patch) -> Iterator[None]:
    """Commits and the window of ids are full all the time, and the log is silent. (What a commit carries of commands without effect keeps
    its own bound: beyond it they are forgotten by design.)"""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    monkeypatch.setattr(rounds, "WINDOW", SMALL_WINDOW)
    monkeypatch.setattr(deciding, "MAX_COMMIT_BYTES", SMALL_COMMIT)
    monkeypatch.setattr(rounds, "AHEAD", (1,))
    monkeypatch.setattr(rounds, "MOST", 5)
    monkeypatch.setattr(snapshots, "EVERY_EVENTS", EVERY)
    yield
    structlog.reset_defaults()


def faults_of(seed: int) -> list[str]:
    group = schedule(seed, SMALL_COMMIT + 2)
    try:
        return run_virtually(live(group, seed))
    except Exception as wrong:  # noqa: BLE001 - a stream that cannot be read any more is a fault too
        return [f"{type(wrong).__name__}: {wrong}"]


def test_with_all_rules_nothing_is_wrong() -> None:
    before = {verdict: SNAPSHOTS.labels(verdict)._value.get() for verdict in ("written", "used", "wrong")}
    assert [(seed, found) for seed in range(800) if (found := faults_of(seed))] == []
    assert [verdict for verdict, count in before.items() if SNAPSHOTS.labels(verdict)._value.get() < count + 50] == []


def another_payload_under_a_used_id_is_refused(monkeypatch: Patch) -> None:
    repeat = deciding._repeat
    monkeypatch.setattr(deciding, "_repeat", lambda command, seen: repeat(replace(command, fingerprint=seen.fingerprint), seen))


def answers(monkeypatch: Patch, change: Callable[[Appended], Appended]) -> None:
    append = rounds.Rounds._append

    async def changed(self: Rounds, drafts: Any) -> bool:
        store = self._store

        class Seen:
            async def append(self, commits: Sequence[Commit]) -> list[Appended]:
                return [change(each) for each in await store.append(commits)]

        self._store = Seen()  # type: ignore[assignment]
        try:
            return await append(self, drafts)
        finally:
            self._store = store

    monkeypatch.setattr(Rounds, "_append", changed)


def a_conflict_is_decided_again(monkeypatch: Patch) -> None:
    answers(monkeypatch, lambda each: Appended.YES if each is Appended.CONFLICT else each)


def no_answer_may_be_a_no(monkeypatch: Patch) -> None:
    answers(monkeypatch, lambda each: Appended.YES if each is Appended.UNKNOWN else each)


def no_answer_may_be_a_yes(monkeypatch: Patch) -> None:
    """Believed to be a no, the same draft is appended again without a look."""
    answers(monkeypatch, lambda each: Appended.NO if each is Appended.UNKNOWN else each)
    keep = Job.look_again

    def not_again(self: Job) -> None:
        keep(self)
        self.behind = False

    monkeypatch.setattr(Job, "look_again", not_again)
    decided: dict[str, Draft] = {}
    decide = deciding.decide

    def remembered(history: History, commands: Sequence[Command], registry: Any, **how: Any) -> Draft:
        draft = decide(history, commands, registry, **how)
        return decided.setdefault(f"{history.stream} {history.version} {[each.id for each in commands]}", draft)

    monkeypatch.setattr(rounds, "decide", remembered)


def an_append_is_conditional(monkeypatch: Patch) -> None:
    def put(self: MemoryStore, commit: Commit) -> Appended:
        self._streams.setdefault(commit.stream, {})[commit.first] = commit
        return Appended.YES

    monkeypatch.setattr(MemoryStore, "_put", put)


def one_commit_of_a_stream_a_call(monkeypatch: Patch) -> None:
    """What does not fit into a commit is decided on its expected end and sent along."""

    async def both(self: Rounds, drafts: Sequence[tuple[Job, Draft]]) -> bool:
        pairs = list(drafts)
        for job, draft in drafts:
            assert job.history is not None
            ahead = copy.deepcopy(job.history)
            deciding.confirm(ahead, draft, SMALL_WINDOW)
            rest = [each.command for each in job.waiting()][len(draft.outcomes) :]
            if rest and (more := deciding.decide(ahead, rest, self._registry)).events:
                pairs.append((job, more))
        answers = await self._store.append([draft.commit() for _, draft in pairs])
        for (job, draft), answer in zip(pairs, answers, strict=True):
            if answer is Appended.YES and job.history is not None:
                self._conclude(job, job.history, draft)
            else:
                job.look_again()
        return True

    monkeypatch.setattr(Rounds, "_append", both)


def what_appends_nothing_needs_proof(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Draft, "needs_proof", property(lambda _: False))


def without(monkeypatch: Patch, which: Callable[[Command], bool]) -> None:
    decide = deciding.decide

    def blind(history: History, commands: Sequence[Command], registry: Any, **how: Any) -> Draft:
        seen = dict(history.seen)
        for command in commands:
            if which(command):
                history.seen.pop((command.actor, command.id), None)
        try:
            return decide(history, commands, registry, **how)
        finally:
            history.seen.clear()
            history.seen.update(seen)

    monkeypatch.setattr(rounds, "decide", blind)


def an_id_that_was_seen_decides_nothing(monkeypatch: Patch) -> None:
    without(monkeypatch, lambda _: True)


def the_id_comes_before_the_expected_version(monkeypatch: Patch) -> None:
    without(monkeypatch, lambda command: command.expected_version is not None)


def a_commit_tells_of_what_changed_nothing(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Draft, "carried", lambda _: ())


def what_changed_nothing_is_kept_until_its_message_is_gone(monkeypatch: Patch) -> None:
    confirm = deciding.confirm

    def forgetful(history: History, *args: Any) -> None:
        confirm(history, *args)
        history.unsettled.clear()

    monkeypatch.setattr(rounds, "confirm", forgetful)


def what_is_older_than_the_window_is_decided_on_the_whole_stream(monkeypatch: Patch) -> None:
    decide = deciding.decide
    monkeypatch.setattr(rounds, "decide", lambda history, commands, registry, **_: decide(history, commands, registry, full=True))


def only_what_is_durable_is_deleted(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Batch, "unfinished", lambda _: set())


def times_of_a_stream_rise(monkeypatch: Patch) -> None:
    monkeypatch.setattr(deciding, "max", lambda accepted, _: accepted, raising=False)


def a_commit_ends_where_it_is_full(monkeypatch: Patch) -> None:
    monkeypatch.setattr(deciding, "MAX_COMMIT_BYTES", 10 * SMALL_COMMIT)


RULES: Final = (
    a_conflict_is_decided_again,
    no_answer_may_be_a_no,
    no_answer_may_be_a_yes,
    an_append_is_conditional,
    one_commit_of_a_stream_a_call,
    what_appends_nothing_needs_proof,
    an_id_that_was_seen_decides_nothing,
    the_id_comes_before_the_expected_version,
    a_commit_tells_of_what_changed_nothing,
    what_changed_nothing_is_kept_until_its_message_is_gone,
    what_is_older_than_the_window_is_decided_on_the_whole_stream,
    only_what_is_durable_is_deleted,
    times_of_a_stream_rise,
    a_commit_ends_where_it_is_full,
    a_snapshot_is_borne_out_by_the_store,
    a_snapshot_knows_the_ids,
    a_snapshot_is_no_head,
    another_payload_under_a_used_id_is_refused,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_each_rule_is_needed(rule: Callable[[Patch], None], monkeypatch: Patch) -> None:
    rule(monkeypatch)
    assert any(faults_of(seed) for seed in range(SEEDS)), "no schedule needs it"
