"""The rules of a comment, one sentence each."""

import pytest
from msgspec import Struct

from events.comments.commands import CreateComment, DeleteComment, UpdateComment
from events.comments.decider import DECIDER, Comment, evolve
from events.comments.events import CommentCreated, CommentDeleted, CommentUpdated
from runtime.times import Micros
from tests.support.specification import NOW, specification

given = specification(DECIDER)
CREATED = CommentCreated("sunset", "ann", "hello")
CREATE = CreateComment("sunset", "hello", "1")
UPDATE = UpdateComment("1", "better")
DELETE = DeleteComment("1")


def test_a_comment_is_created_by_who_asks() -> None:
    given().when(CREATE, "bob").then(CommentCreated("sunset", "bob", "hello"))


def test_its_author_updates_it() -> None:
    given(CREATED).when(UPDATE).then(CommentUpdated("better"))


def test_its_author_deletes_it() -> None:
    given(CREATED).when(DELETE).then(CommentDeleted())


def test_the_same_text_changes_nothing() -> None:
    given(CREATED).when(UpdateComment("1", "hello")).then()
    given(CREATED, CommentUpdated("better")).when(UPDATE).then()


def test_going_back_to_an_earlier_text_is_a_change() -> None:
    given(CREATED, CommentUpdated("better")).when(UpdateComment("1", "hello")).then(CommentUpdated("hello"))


@pytest.mark.parametrize("command", [UPDATE, DELETE, UpdateComment("1", "hello")])
def test_nobody_but_its_author_touches_it(command: Struct) -> None:
    given(CREATED).when(command, "bob").refused("not_the_author")


@pytest.mark.parametrize("command", [UPDATE, DELETE])
def test_what_is_not_there_cannot_change(command: Struct) -> None:
    given().when(command).refused("comment_not_found")


def test_an_id_is_created_once() -> None:
    given(CREATED).when(CREATE).refused("comment_exists")


@pytest.mark.parametrize("actor", ["ann", "bob"])
@pytest.mark.parametrize("command", [CREATE, UPDATE, DELETE])
def test_a_deleted_comment_takes_no_more_commands(command: Struct, actor: str) -> None:
    given(CREATED, CommentDeleted()).when(command, actor).refused("comment_deleted")


def test_state_is_what_the_events_say_and_when() -> None:
    created = evolve(None, CREATED, NOW)
    assert created == Comment("sunset", "ann", "hello", NOW, NOW)
    updated = evolve(created, CommentUpdated("better"), Micros(NOW + 1))
    assert updated == Comment("sunset", "ann", "better", NOW, Micros(NOW + 1))
    assert evolve(updated, CommentDeleted(), Micros(NOW + 2)).deleted


@pytest.mark.parametrize("event", [CommentUpdated("x"), CommentDeleted()])
def test_a_history_that_does_not_begin_with_a_creation_is_not_ours(event: CommentUpdated | CommentDeleted) -> None:
    with pytest.raises(ValueError, match="begins with its creation"):
        evolve(None, event, NOW)
