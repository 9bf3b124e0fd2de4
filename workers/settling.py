"""What becomes of each message of a batch once it was worked: buried, deleted, given back, or kept in hand. Pure.

A group is finished from its front only: from its first unfinished message on all of it is given back, also what is done already, so
that the queue never shows a later message of a group while an earlier one is to come. What is done comes again and changes nothing.
Where that first one is not to blame it is not given back but kept, with all behind it, and tried again: receives count as failures.

Those behind an unfinished message are received as often as it is, and SQS would move all of them to the dead-letter queue together.
So before that the one in front is set aside alone, while there are receives left for the rest, and what is done is deleted after all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from workers.queue import Delivery

SPARE: Final = 2
"""Receives that those behind a message have left when it is set aside."""


@dataclass(slots=True)
class Handled:
    """What a handler made of a batch. What is neither done nor poison is given back and comes again, and what is behind it with it."""

    done: list[Delivery] = field(default_factory=list)
    poison: list[tuple[Delivery, str]] = field(default_factory=list)
    """Can never be handled, and why: stored in the dead-letter queue."""
    deleted: Callable[[Sequence[Delivery]], None] | None = None
    """Called with the messages whose deletion SQS confirmed: they will not come again."""
    spared: set[str] = field(default_factory=set)
    """Ids of messages that are unfinished through no fault of theirs: not tried, or what they need is away. They stay in hand."""
    waited: bool = False
    """The handler itself has waited for what they need, and listens for it: they are tried again at once, without growing pauses."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """`bury` first, then `delete` (what was buried too), then `give_back`, in the order given here. `keep` is to be tried again."""

    bury: list[tuple[Delivery, str]] = field(default_factory=list)
    delete: list[Delivery] = field(default_factory=list)
    give_back: list[Delivery] = field(default_factory=list)
    keep: list[Delivery] = field(default_factory=list)


def settlement(deliveries: Sequence[Delivery], handled: Handled, most_receives: int) -> Settlement:
    """Of a batch whose handler came to an end. `most_receives`: after so many SQS itself moves a message to the dead-letter queue."""
    finished = {each.message_id for each in handled.done}
    reasons = {each.message_id: why for each, why in handled.poison}
    settled = Settlement()
    held_up: set[str] = set()
    kept: set[str] = set()
    set_aside: set[str] = set()
    for each in deliveries:
        ident, worn = each.message_id, worn_out(each, most_receives)
        if ident not in finished | reasons.keys() | handled.spared and worn and each.group not in held_up | set_aside:
            reasons[ident] = f"received {each.receives} times and never finished"
            set_aside.add(each.group)  # one at a time: those behind it were perhaps never tried
        behind = each.group in held_up and not (ident in finished and worn)
        if behind or ident not in finished | reasons.keys():
            if each.group not in held_up and ident in handled.spared:
                kept.add(each.group)
            held_up.add(each.group)
            if each.group in kept:
                settled.keep.append(each)
            else:
                settled.give_back.insert(0, each)  # the last first, so that no later one of a group shows before an earlier one
            continue
        settled.delete.append(each)
        if ident in reasons:
            settled.bury.append((each, reasons[ident]))
    return settled


def worn_out(delivery: Delivery, most_receives: int) -> bool:
    """It has few receives left."""
    return delivery.receives >= max(most_receives - SPARE, (most_receives + 1) // 2)
