"""A stack's processes, with real servers and roles that do nothing: how they start, die, come back and end."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from headrace.local import state
from headrace.local.ports import free_port
from headrace.local.probes import http_status
from tests.support.stack_process import StackProcess, all_end, finish, stack_process

FAKE = ("-m", "tests.support.fake_stack")


@asynccontextmanager
async def fake_stack(folder: Path, *moods: str) -> AsyncIterator[StackProcess]:
    async with stack_process(folder, *FAKE, str(folder), str(free_port()), "ministack", *moods) as stack:
        yield stack


async def test_ctrl_c_drains_and_leaves_no_process(folder: Path) -> None:
    async with fake_stack(folder) as stack:
        await stack.until_said("headrace: ready")
        assert {part.role for part in stack.parts()} == {"aws", "postgres", "redis", "gateway", "commands", "relay"}
        async with all_end(stack.pids()):
            stack.process.send_signal(signal.SIGINT)
            assert await stack.exit_code() == 0
    assert not state.is_live(folder)
    assert stack.parts() == ()


async def test_a_killed_supervisor_leaves_no_process(folder: Path) -> None:
    async with fake_stack(folder) as stack:
        await stack.until_said("headrace: ready")
        async with all_end(stack.pids()):
            stack.process.kill()
    assert not state.is_live(folder)


async def test_a_folder_can_be_used_again_after_its_supervisor_was_killed(folder: Path) -> None:
    for _ in range(2):
        async with fake_stack(folder) as stack:
            await stack.until_said("headrace: ready")
            async with all_end(stack.pids()):
                stack.process.kill()


async def test_a_role_that_dies_comes_back_on_its_port_and_is_counted(folder: Path) -> None:
    async with fake_stack(folder) as stack:
        await stack.until_said("headrace: ready")
        before = stack.part("commands")
        assert before.pid is not None
        os.kill(before.pid, signal.SIGKILL)
        assert "killed by signal 9; restart 1 in" in await stack.until_said("commands was")
        await stack.until_said("commands is back")
        after = stack.part("commands")
        assert (after.url, after.restarts) == (before.url, 1)
        assert after.pid not in {before.pid, None}
        assert await http_status(after.probe) == 200


async def test_processes_of_one_role_are_parts_of_their_own_and_end_together(folder: Path) -> None:
    async with fake_stack(folder, "scale:relay=2", "scale:gateway=2") as stack:
        await stack.until_said("headrace: ready")
        both = [part for part in stack.parts() if part.role == "relay"]
        assert [part.name for part in both] == ["relay-1", "relay-2"]
        assert len({part.url for part in both}) == 2
        found = state.read(folder)
        assert found is not None
        assert stack.part("gateway-1").url == found.gateway != stack.part("gateway-2").url
        pid = stack.part("relay-2").pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await stack.until_said("relay-2 is back")
        assert [part.restarts for part in stack.parts() if part.role == "relay"] == [0, 1]
        assert await asyncio.to_thread((folder / "logs" / "relay-2.log").exists)
        async with all_end(stack.pids()):
            stack.process.send_signal(signal.SIGINT)
            assert await stack.exit_code() == 0


async def test_a_role_that_dies_five_times_before_it_is_ready_ends_the_stack(folder: Path) -> None:
    async with fake_stack(folder, "relay=die") as stack:
        assert await stack.exit_code() == 1
        assert "relay ended with 3, 5 times in a row before it was ready" in stack.said[-1]
        assert stack.parts() == ()


async def test_postgres_comes_back_with_its_data(folder: Path) -> None:
    async with fake_stack(folder) as stack:
        await stack.until_said("headrace: ready")
        part = stack.part("postgres")
        connection = await asyncpg.connect(part.url)
        await connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
        await connection.close()
        assert part.pid is not None
        os.kill(part.pid, signal.SIGKILL)
        await stack.until_said("postgres is back")
        connection = await asyncpg.connect(part.url)
        assert await connection.fetchval("SELECT n FROM kept") == 7
        await connection.close()


async def test_an_emulator_that_comes_back_is_provisioned_again_and_its_loss_is_said(folder: Path) -> None:
    async with fake_stack(folder) as stack:
        await stack.until_said("headrace: ready")
        log = folder / "logs" / "provision.log"
        assert await asyncio.to_thread(log.read_text) == "provisioned\n"
        pid = stack.part("aws").pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await stack.until_said("keeps its data in memory")
        await stack.until_said("aws is back")
        assert await asyncio.to_thread(log.read_text) == "provisioned\n" * 2


async def test_status_and_down_and_a_second_up_from_outside(folder: Path) -> None:
    state_option = ("--state", str(folder))
    async with fake_stack(folder) as stack:
        await stack.until_said("headrace: ready")
        code, said = await finish("-m", "headrace", "status", *state_option)
        assert code == 0, said
        code, said = await finish("-m", "headrace", "up", *state_option)
        assert (code, len(said.splitlines())) == (2, 1), said
        assert "a stack is up in" in said
        frozen = stack.part("relay").pid
        assert frozen is not None
        os.kill(frozen, signal.SIGSTOP)
        code, said = await finish("-m", "headrace", "status", *state_option)
        os.kill(frozen, signal.SIGCONT)
        assert code == 1, said
        assert "NOT READY" in said
        async with all_end(stack.pids()):
            code, said = await finish("-m", "headrace", "down", *state_option)
            assert code == 0, said
        assert await stack.exit_code() == 0


async def test_a_port_asked_for_and_taken_is_wrong_use(folder: Path) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        code, said = await finish("-m", "headrace", "up", "--state", str(folder), "--port", str(port))
    assert (code, said) == (2, f"headrace up: --port {port} is taken\n")


@pytest.mark.parametrize("moment", ["AWS is", "provisioning"])
async def test_ctrl_c_while_it_starts_leaves_no_process_either(folder: Path, moment: str) -> None:
    async with fake_stack(folder) as stack:
        await stack.until_said("AWS is" if moment == "AWS is" else "postgres")
        async with all_end(stack.pids()):
            stack.process.send_signal(signal.SIGINT)
            assert await stack.exit_code() == 0
    assert stack.parts() == ()
