"""Ended in any phase, with or without warning: the old generation serves on, and the next start begins again cleanly."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process

import pytest

from readmodel.control import READ_MODEL
from readmodel.feeding import Fed, read_fed
from readmodel.generations import Beside, beside, leftovers
from runtime.aws import open_aws
from runtime.settings import Settings
from tests.integration.rebuild.conftest import Live, at_work

pytestmark = [pytest.mark.slow, pytest.mark.long]
SECONDS = 120


def environment(settings: Settings) -> dict[str, str]:
    return {
        **os.environ,
        "AWS_ENDPOINT_URL": settings.aws_endpoint_url or "",
        "HEADRACE_DATABASE_URL": settings.database_url,
        "HEADRACE_REDIS_URL": settings.redis_url,
        "HEADRACE_STACK": settings.stack,
        "HEADRACE_STATE": settings.state,
        "HEADRACE_DOMAIN": settings.domain,
    }


async def started(settings: Settings, *words: str) -> Process:
    command = (sys.executable, "-m", "headrace", "rebuild", "rds", "--settle", "30", "--json", *words)
    return await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, env=environment(settings))


async def until(process: Process, said: str) -> None:
    """The command has said this, or ended before."""
    assert process.stderr is not None
    async with asyncio.timeout(SECONDS):
        async for line in process.stderr:
            if said in line.decode():
                return
    raise AssertionError(f"it never said {said!r}")


async def ended(process: Process) -> tuple[int, str, str]:
    async with asyncio.timeout(SECONDS):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def queues(settings: Settings) -> list[str]:
    async with open_aws(settings) as aws:
        sqs = await aws.sqs()
        return list((await sqs.list_queues(QueueNamePrefix=f"{settings.stack}-rebuild-")).get("QueueUrls", []))


async def everything_is_as_it_should_be(live: Live, current: int, kept: tuple[int, ...]) -> None:
    async with at_work(live.settings) as (ground, _):
        assert await read_fed(ground.engine) == Fed(tuple(sorted({*kept, current})), current)
        assert await leftovers(ground.engine) == []
        assert await beside(ground.engine, READ_MODEL) == [Beside(each, complete=True) for each in kept]
    assert await queues(live.settings) == []


@pytest.mark.parametrize("phase", ["generation 2 beside 1", "scan: done", "tail: done", "warming: done"])
async def test_killed_in_any_phase_it_starts_again(live: Live, phase: str) -> None:
    await live.write(60)
    await live.passed()
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(live.look(stop))
        tasks.create_task(live.go_on(stop, pause=0.05))
        process = await started(live.settings)
        await until(process, phase)
        process.kill()
        await process.wait()
        await asyncio.sleep(1)
        async with at_work(live.settings) as (ground, _):
            assert (await read_fed(ground.engine)).current == 1
            assert await leftovers(ground.engine) or await beside(ground.engine, READ_MODEL), "the kill came too late to show anything"
        code, out, err = await ended(await started(live.settings))
        assert code == 0, err
        assert json.loads(out)["generation"] == 3
        stop.set()
    await everything_is_as_it_should_be(live, 3, (1,))
    found = await live.audited()
    assert found.ok, found.differences


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_told_to_stop_it_leaves_nothing(live: Live, number: signal.Signals) -> None:
    await live.write(20)
    await live.passed()
    process = await started(live.settings)
    await until(process, "tail: done" if number is signal.SIGTERM else "generation 2")
    process.send_signal(number)
    code, out, err = await ended(process)
    assert (code, out) == (1, ""), err
    assert "what was read before is read on" in err
    await everything_is_as_it_should_be(live, 1, ())


async def test_of_two_at_once_one_is_refused(live: Live) -> None:
    await live.write(10)
    async with at_work(live.settings):
        code, _, err = await ended(await started(live.settings))
    assert code == 1
    assert "another rebuild" in err
    code, _, err = await ended(await started(live.settings, "--drop-old"))
    assert code == 2
    assert "no generation but the current one" in err
