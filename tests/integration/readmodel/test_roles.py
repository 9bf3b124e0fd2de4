"""Both projectors as their roles put them together: from a message on their queues to an answer, and out on stop."""

import asyncio
from contextlib import nullcontext
from typing import Any

from events.dynamo_store import open_store
from events.ids import Token, Version
from readmodel.heads import Heads
from readmodel.holds import Hold
from readmodel.opening import open_reads
from runtime.aws import open_aws
from runtime.settings import Settings
from runtime.stack import load_stack
from tests.unit.readmodel.commits import comment, delivery, history
from workers import projector_cache, projector_rds
from workers.process import Ready


class Silent(Ready):
    """No health port: two roles in one process would share it."""

    def listening(self, checks: Any) -> Any:
        self.checks = checks
        return nullcontext()


async def test_a_message_becomes_an_answer(settings: Settings) -> None:
    stop, ready = asyncio.Event(), Silent(settings)
    async with open_aws(settings) as aws:
        facts = await load_stack(await aws.dynamodb(), settings)
        store, sqs = await open_store(aws, facts, settings), await aws.sqs()
        async with open_reads(settings, store, Heads()) as reads, asyncio.TaskGroup() as roles:
            roles.create_task(projector_rds._serve(settings, stop, ready))
            roles.create_task(projector_cache._serve(settings, stop, ready))
            for lost in (0, 2):  # of the three commits so many never come
                stream = comment(f"roles-{lost}")
                commits = history(stream, f"picture-{lost}", updates=2)
                for each in commits:
                    await store.append([each])
                for queue in ("rds", "cache"):
                    await sqs.send_message(
                        QueueUrl=facts.queues[queue],
                        MessageBody=delivery(*commits[lost:]).body,
                        MessageGroupId="0",
                        MessageDeduplicationId=f"{lost}",
                    )
                found = await reads.comment(f"roles-{lost}", Hold((Token(stream, Version(3)),), wait=10))
                assert found.version == 3
                while not (await reads.projected(stream, 3))["cache"]:  # noqa: ASYNC110 - asked as callers ask it
                    await asyncio.sleep(0.02)
            for check in ready.checks.values():
                await check()
            stop.set()
