"""PartiQL's INSERT is conditional by nature, statement by statement. AWS takes it; not every emulator has it."""

from typing import Any, cast

import pytest

from events.append_calls import PartiqlInsert, append_call
from events.dynamo_store import DynamoStore
from events.store import Appended
from runtime.aws import Aws, AwsRefused
from runtime.errors import ConfigurationError
from runtime.settings import Settings
from runtime.stack import table_name
from tests.contract.events.test_event_store import commit, fresh, told

NOT_THERE = {"UnknownOperationException", "UnknownOperation", "NotImplemented", "ValidationException", "InternalFailure"}


async def test_each_statement_inserts_or_says_that_its_key_is_taken(aws: Aws, settings: Settings) -> None:
    table = table_name(settings, "events")
    insert = PartiqlInsert(await aws.dynamodb_appending(), table)
    store = DynamoStore(await aws.dynamodb(), table, insert, table_name(settings, "snapshots"))
    taken, free = commit(fresh()), [commit(fresh(), body=f'it\'s {n} "quoted" ?') for n in range(4)]
    first, refusal = [Appended.NO], ""
    try:
        first = await insert([taken])
    except AwsRefused as refused:
        refusal = refused.code
    if first != [Appended.YES]:  # a clear no, so that the append probe passes on to the next way
        assert first == [Appended.UNKNOWN] or refusal in NOT_THERE
        assert await store.load(taken.stream) == []
        return
    again = commit(taken.stream, body="other")
    assert await insert([free[0], again, *free[1:]]) == [Appended.YES, Appended.CONFLICT, *[Appended.YES] * 3]
    for each in (taken, *free):
        assert told(await store.load(each.stream)) == told([each])


@pytest.mark.parametrize("mode", ["copy:3", ""])
def test_a_way_that_this_version_does_not_know_is_refused_at_start(mode: str) -> None:
    with pytest.raises(ConfigurationError, match="does not know"):
        append_call(mode, cast(Any, None), "events")
