"""What the answers of the append calls mean, as AWS words them; no emulator throttles by itself."""

from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from msgspec import Raw

from events.append_calls import PartiqlInsert, SinglePuts, TransactPut
from events.envelope import Commit
from events.ids import StreamId, Version
from events.store import Appended

YES, CONFLICT, UNKNOWN, BUSY, NO = Appended.YES, Appended.CONFLICT, Appended.UNKNOWN, Appended.BUSY, Appended.NO
COMMITS = [Commit(StreamId(f"comment-{n}"), Version(1), Version(1), Version(0), Raw(b"[]")) for n in range(4)]


class Answers:
    """Stands for the client: every call comes to the same."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def _call(self, **_: Any) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    batch_execute_statement = transact_write_items = put_item = _call


def refusal(code: str, status: int = 400, **more: Any) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}, **more}
    return ClientError(response, "Call")


def client(answer: Any) -> Any:
    return cast(Any, Answers(answer))


async def test_each_statement_has_an_answer_of_its_own() -> None:
    codes = ["DuplicateItem", "ThrottlingError", "InternalServerError"]
    insert = PartiqlInsert(client({"Responses": [{}, *({"Error": {"Code": code}} for code in codes)]}), "events")
    assert await insert(COMMITS) == [YES, CONFLICT, BUSY, UNKNOWN]


async def test_a_cancelled_transaction_says_who_stood_in_the_way() -> None:
    codes = ["None", "ConditionalCheckFailed", "ThrottlingError", "TransactionConflict"]
    cancelled = refusal("TransactionCanceledException", CancellationReasons=[{"Code": code} for code in codes])
    assert await TransactPut(client(cancelled), "events", 100)(COMMITS) == [NO, CONFLICT, BUSY, BUSY]


@pytest.mark.parametrize(
    ("code", "status", "means"),
    [
        ("ProvisionedThroughputExceededException", 400, BUSY),
        ("ThrottlingException", 400, BUSY),
        ("RequestLimitExceeded", 400, BUSY),
        ("InternalServerError", 500, UNKNOWN),
        ("TransactionInProgressException", 400, UNKNOWN),
    ],
)
async def test_a_throttled_call_wrote_nothing_and_a_failed_one_may_have(code: str, status: int, means: Appended) -> None:
    wrong = client(refusal(code, status))
    for call in (PartiqlInsert(wrong, "events"), TransactPut(wrong, "events", 100), SinglePuts(wrong, "events")):
        assert await call(COMMITS) == [means] * 4
