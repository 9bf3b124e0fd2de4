"""The script of the large run: what each command must find, and that the same seed says the same."""

from hypothesis import given
from hypothesis import strategies as st

from loadtest.large import Script


@given(comments=st.integers(1, 60), seed=st.integers(0, 1000))
def test_every_command_finds_what_it_needs_and_changes_something(comments: int, seed: int) -> None:
    commands = list(Script("run", 3, comments, seed))
    texts: dict[str, set[str]] = {}
    deleted: set[str] = set()
    for command in commands:
        name = command.data["comment_id"]
        assert name not in deleted
        if command.name == "comment.create":
            assert name not in texts
            texts[name] = {command.data["text"]}
        elif command.name == "comment.update":
            assert command.data["text"] not in texts[name]
            texts[name].add(command.data["text"])
        else:
            assert name in texts
            deleted.add(name)
    assert len(texts) == comments
    assert len({command.id for command in commands}) == len(commands)
    assert [(each.name, each.id) for each in Script("run", 3, comments, seed)] == [(each.name, each.id) for each in commands]


def test_callers_have_comments_of_their_own() -> None:
    one, other = ({command.data["comment_id"] for command in Script("run", caller, 50, 1)} for caller in (0, 1))
    assert not one & other
