"""What comes back from a gateway, and what a command is made of. Unknown fields are passed over: newer gateways may say more."""

from typing import Any, Final

import msgspec
from msgspec import Struct

PENDING, APPLIED, REJECTED, FAILED, REFUSED = "pending", "applied", "rejected", "failed", "refused"


class Command(Struct, frozen=True, omit_defaults=True):
    """One command for `Client.batch`. Without an `id` the client makes one before it is first sent."""

    name: str
    data: Any
    id: str = ""
    expected_version: int | None = None


class Receipt(Struct, frozen=True):
    """The answer to a command. `status`: pending, applied, rejected, failed; in a batch also refused: it was never accepted.

    `code` and `line` (from 1) are a refused line's.
    """

    command_id: str = ""
    stream: str = ""
    status: str = PENDING
    status_url: str = ""
    version: int | None = None
    token: str | None = None
    reason: str = ""
    detail: str = ""
    code: str = ""
    line: int = 0


class Comment(Struct, frozen=True):
    """Times are RFC 3339."""

    comment_id: str
    picture_id: str
    author: str
    text: str
    version: int
    created_at: str
    updated_at: str


class Picture(Struct, frozen=True):
    """`last_commented_at` is None where nobody did."""

    picture_id: str
    comment_count: int
    last_commented_at: str | None = None


class CommentPage(Struct, frozen=True):
    """One page of a picture's comments."""

    comments: list[Comment]
    next_cursor: str | None = None


class Problem(Struct, frozen=True):
    """RFC 9457, as much of it as the client looks at."""

    code: str = ""
    detail: str = ""
    title: str = ""


ENCODER: Final = msgspec.json.Encoder()
