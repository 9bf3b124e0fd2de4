"""What a reader holds an answer to."""

from dataclasses import dataclass

from events.ids import Token


@dataclass(frozen=True, slots=True)
class Hold:
    """Answer with nothing less than `after`; wait for it at most `wait` seconds."""

    after: tuple[Token, ...] = ()
    wait: float = 1.0


NOTHING_HELD = Hold()
