"""Which queues a rebuild may remove."""

import pytest

from headrace.rebuild.own_queue import is_own


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("prod-rebuild-2.fifo", True),
        ("prod-rebuild-14.fifo", True),
        ("prod-rebuild-2-commands.fifo", False),  # of a stack that is called prod-rebuild-2
        ("prod-rebuild-2-rds-dead.fifo", False),
        ("prod-rebuild-.fifo", False),
        ("prod-rebuild-2.fifo.fifo", False),
        ("other-prod-rebuild-2.fifo", False),
    ],
)
def test_only_names_that_a_rebuild_of_this_stack_gives(name: str, own: bool) -> None:
    assert is_own("prod", name) is own


def test_a_stacks_name_is_no_pattern() -> None:
    assert not is_own("a.b", "a-b-rebuild-1.fifo")
