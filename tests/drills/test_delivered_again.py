"""Every commit delivered again, twice, in another order, to both projectors: nothing that is stored moves."""

import asyncio
import os
import random
import secrets
from collections.abc import Iterator, Sequence
from hashlib import blake2b

from sqlalchemy import Table, select

from events.dynamo_store import open_store
from events.envelope import Commit
from events.ids import partition_of
from events.parcel import encode_commit, pack_commits
from headrace.local import state
from headrace.local.environment import merged
from headrace.observe import queue_depths
from readmodel.comments.tables import COMMENTS, PICTURES
from readmodel.control import PARKED, POSITIONS
from readmodel.database import AUDITING, open_database
from runtime.aws import Aws, open_aws
from runtime.settings import Settings, load
from runtime.stack import load_stack
from tests.acceptance.stack import Live, headrace
from tests.support.load_beside import load_beside
from workers.packing import GROUPS

SECONDS = 120
TIMES = 2
A_PARCEL = 40
TABLES = (COMMENTS, PICTURES, POSITIONS, PARKED)


async def dump(settings: Settings) -> dict[str, str]:
    """By table a hash of its rows and their number."""
    async with open_database(settings, AUDITING) as database, database.engine.connect() as connection:
        return {table.name: _hash(table, (await connection.execute(select(table))).all()) for table in TABLES}


def _hash(table: Table, rows: Sequence[object]) -> str:
    return f"{table.name} {len(rows)} {blake2b(repr(sorted(map(repr, rows))).encode()).hexdigest()}"


def parcels(commits: list[Commit], chance: random.Random) -> Iterator[tuple[int, str]]:
    """(group, body): all of them in any order, of one group a parcel."""
    groups: dict[int, list[Commit]] = {}
    for commit in chance.sample(commits, len(commits)):
        groups.setdefault(partition_of(commit.stream, GROUPS), []).append(commit)
    for group, members in groups.items():
        for start in range(0, len(members), A_PARCEL):
            yield group, pack_commits(partition_of(members[0].stream, GROUPS), [*map(encode_commit, members[start : start + A_PARCEL])])


async def deliver(aws: Aws, settings: Settings, chance: random.Random) -> int:
    """How many commits were sent to each of the projectors."""
    facts = await load_stack(await aws.dynamodb(), settings)
    store, sqs = await open_store(aws, facts, settings), await aws.sqs()
    commits = [commit async for page in store.scan() for commit in page]
    for _ in range(TIMES):
        for group, body in parcels(commits, chance):
            for queue in ("rds", "cache"):
                await sqs.send_message(
                    QueueUrl=facts.queues[queue],
                    MessageBody=body,
                    MessageGroupId=f"p{group}",
                    MessageDeduplicationId=secrets.token_hex(8),
                )
    return TIMES * len(commits)


async def test_what_is_delivered_again_changes_nothing(stack: Live) -> None:
    async with load_beside(stack, 120, 3) as loading:
        await loading.report()
    settings = load(merged(dict(os.environ), state.environment(stack.folder)))
    before = await dump(settings)
    seen = {name: await counted(stack, name) for name in ("projector-rds", "projector-cache")}
    async with asyncio.timeout(SECONDS), open_aws(settings) as aws:
        sent = await deliver(aws, settings, random.Random(3))
        assert sent > 200
        while any((await queue_depths(settings)).values()):  # noqa: ASYNC110 - queues tell nobody that they are empty
            await asyncio.sleep(0.1)
    assert await dump(settings) == before
    for name, count in seen.items():
        assert await counted(stack, name) - count == sent, f"{name} did not get all of it"
    code, out, err = await headrace("audit", "--state", str(stack.folder))
    assert code == 0, out + err


async def counted(stack: Live, role: str) -> int:
    """Commits that this projector has taken from its queue since it began."""
    (part,) = stack.parts(role)
    queue = role.removeprefix("projector-")
    async with stack.client() as client:
        text = (await client.get(f"{part.url}/metrics")).text
    lines = [line for line in text.splitlines() if line.startswith(f'headrace_envelopes_total{{queue="{queue}"}}')]
    return round(sum(float(line.split()[-1]) for line in lines))
