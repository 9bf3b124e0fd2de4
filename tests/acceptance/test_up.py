"""`headrace up --detach`, `status` and `down` with the real roles, as from a shell."""

import json
import os
import signal
from pathlib import Path

from headrace.local import state
from headrace.local.clean import clean
from tests.support.stack_process import all_end, descendants, finish

AWS = os.environ.get("AWS", "ministack")
ROLES = {"gateway", "commands", "relay", "projector-rds", "projector-cache"}


async def test_a_detached_stack_is_up_until_down(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    where = ("--state", str(folder))
    try:
        code, said = await finish("-m", "headrace", "up", "--detach", "--json", "--port", "0", "--aws", AWS, *where)
        assert code == 0, said
        shown = json.loads(said.splitlines()[-1])
        assert shown["backend"].startswith(AWS)
        assert shown["state"] == str(folder)
        assert {part["role"] for part in shown["parts"]} == {"aws", "postgres", "redis"} | ROLES
        assert all(part["ready"] and part["restarts"] == 0 for part in shown["parts"])
        assert shown["queues"] == dict.fromkeys(shown["queues"], 0)
        assert set(shown["queues"]) == {"commands", "commands-dead", "rds", "rds-dead", "cache", "cache-dead"}
        code, said = await finish("-m", "headrace", "status", *where)
        assert code == 0, said
        stack = state.live(folder)
        assert stack is not None
        pids = [part.pid for part in stack.parts if part.pid is not None]
        async with all_end([stack.supervisor, *pids, *descendants(pids)]):
            code, said = await finish("-m", "headrace", "down", *where)
            assert code == 0, said
        code, said = await finish("-m", "headrace", "status", *where)
        assert code == 2, said
    finally:
        stack = state.live(folder)
        if stack is not None:
            async with all_end([stack.supervisor, *(part.pid for part in stack.parts if part.pid is not None)]):
                os.kill(stack.supervisor, signal.SIGKILL)
        clean(folder)
