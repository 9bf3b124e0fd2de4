"""What a projector does with a commit. Pure."""

from enum import StrEnum
from typing import Final, NamedTuple

from events.envelope import Commit
from events.ids import MAX_VERSION, Version


class Verdict(StrEnum):
    """One word for one commit."""

    APPLY = "apply"
    DUPLICATE = "duplicate"
    """Applied before: acknowledge."""
    GAP = "gap"
    """Something before it is missing: read it from the store."""
    FORK = "fork"
    """Contradicts what was applied: park the stream."""
    PARKED = "parked"
    """Its stream is parked: acknowledge, the store has it."""


class Position(NamedTuple):
    """How far a stream was applied: its version, the key of the commit that ended there, that commit's last command id."""

    version: Version
    commit_first: Version
    head_id: str


START: Final = Position(Version(0), Version(0), "")


def well_formed(commit: Commit) -> bool:
    """Whether its versions can be a commit's at all; others are no commit of ours, whatever the stream holds."""
    return (
        1 <= commit.first <= commit.last <= MAX_VERSION
        and 0 <= commit.previous < commit.first
        and ((commit.previous == 0) == (commit.first == 1))
    )


def judge(position: Position, commit: Commit, head_id: str, *, parked: bool = False) -> Verdict:
    """`head_id` is the command id of the commit's last event; it is looked at only where the commit ends at `position`."""
    if parked:
        return Verdict.PARKED
    if commit.first > position.version:
        return _ahead(position, commit)
    if commit.last > position.version:  # begins inside what was applied and ends beyond it
        return Verdict.FORK
    if commit.last == position.version:
        same = commit.first == position.commit_first and head_id == position.head_id
        return Verdict.DUPLICATE if same else Verdict.FORK
    # Ends before the newest commit: a duplicate if it also ends before that commit begins, else their bounds contradict.
    return Verdict.DUPLICATE if commit.last < position.commit_first else Verdict.FORK


def _ahead(position: Position, commit: Commit) -> Verdict:
    if commit.first == position.version + 1:
        return Verdict.APPLY if commit.previous == position.commit_first else Verdict.FORK
    # Its predecessor ends at first - 1, beyond what was applied, so it must also begin beyond it.
    return Verdict.GAP if commit.previous > position.version else Verdict.FORK
