"""DynamoDB Streams and SNS as the shard reader calls them: one shard whose answers are scripted."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": 400}}, "Call")  # type: ignore[typeddict-item]


class FakeStreams:
    """`pages`: what each GetRecords answers; an exception is raised. After the last the shard has ended."""

    def __init__(self, pages: list[list[dict[str, Any]] | Exception], iterators: list[Exception] | None = None) -> None:
        self._pages, self._iterators = pages, iterators or []
        self.asked: list[str] = []
        """Where each iterator began."""

    async def get_shard_iterator(self, **call: Any) -> dict[str, Any]:
        self.asked.append(call.get("SequenceNumber") or call["ShardIteratorType"])
        if self._iterators:
            raise self._iterators.pop(0)
        return {"ShardIterator": "i"}

    async def get_records(self, **_: Any) -> dict[str, Any]:
        page = self._pages.pop(0) if self._pages else []
        if isinstance(page, Exception):
            raise page
        return {"Records": page} | ({"NextShardIterator": "i"} if self._pages else {})


class FakeSns:
    """Publishes; `answers` says which entries fail in each call."""

    def __init__(self, answers: list[set[int] | Exception] | None = None, seen: Callable[[], None] = lambda: None) -> None:
        self._answers, self._seen = answers or [], seen
        self.calls: list[list[dict[str, Any]]] = []

    async def publish_batch(self, **call: Any) -> dict[str, Any]:
        self.calls.append(call["PublishBatchRequestEntries"])
        self._seen()
        failed = self._answers.pop(0) if self._answers else set()
        if isinstance(failed, Exception):
            raise failed
        return {"Failed": [{"Id": str(each)} for each in failed]}
