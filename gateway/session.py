"""Reads that show at least what was written: a session keeps the tokens of its own commands and holds its reads to them."""

from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from gateway.calling.shapes import PENDING, Comment, Picture, Receipt

if TYPE_CHECKING:
    from gateway.client import Client

MOST: Final = 100
"""Tokens that one read may be held to; of more streams the oldest are forgotten."""
WAIT_SECONDS: Final = 10.0


class Session:
    """For one flow of work; not shared by tasks that do not want to wait for each other's writes."""

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._pending: OrderedDict[str, Receipt] = OrderedDict()
        self._versions: OrderedDict[str, int] = OrderedDict()

    async def post(self, name: str, data: Any, **how: Any) -> Receipt:
        """As the client's `post`; what comes of it is remembered."""
        return self.remember(await self._client.post(name, data, **how))

    def remember(self, receipt: Receipt) -> Receipt:
        """Hold later reads to this command too, wherever its receipt came from. The receipt itself."""
        if receipt.status == PENDING:
            self._pending[receipt.stream] = receipt
            if len(self._pending) > MOST:
                self._pending.popitem(last=False)
        elif receipt.token is not None:
            self.note(receipt.token)
        return receipt

    def note(self, token: str) -> None:
        """Hold later reads to this token too."""
        stream, _, version = token.rpartition("@")
        self._versions[stream] = max(int(version), self._versions.pop(stream, 0))
        if len(self._versions) > MOST:
            self._versions.popitem(last=False)

    @property
    def tokens(self) -> list[str]:
        """What reads are held to."""
        return [f"{stream}@{version}" for stream, version in self._versions.items()]

    async def comment(self, comment_id: str) -> Comment | None:
        """As the client's, held to the session's writes."""
        return await self._client.comment(comment_id, after=await self._after(), wait=WAIT_SECONDS)

    async def picture(self, picture_id: str) -> Picture:
        """As the client's, held to the session's writes."""
        return await self._client.picture(picture_id, after=await self._after(), wait=WAIT_SECONDS)

    async def comments(self, picture_id: str, *, order: str = "newest") -> AsyncIterator[Comment]:
        """As the client's, held to the session's writes."""
        after = await self._after()
        async for comment in self._client.comments(picture_id, order=order, after=after, wait=WAIT_SECONDS):
            yield comment

    async def _after(self) -> list[str]:
        """What is still pending is waited for: only its outcome says what a read must show."""
        while self._pending:
            _, receipt = self._pending.popitem(last=False)
            self.remember(await self._client.outcome(receipt))
            if receipt.stream in self._pending:  # not known in time: the read is held to what is known
                del self._pending[receipt.stream]
        return self.tokens
