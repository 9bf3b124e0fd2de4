"""What a producer is told on stdin, one JSON line a job, and how it carries that out: as fast as it goes, or by the clock."""

import asyncio
import json
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

Comment = dict[str, Any]
"""comment_id, picture_id, author, text, created_at (seconds since 1970: the submission)."""


def comment(order: dict[str, Any], number: int, at: float) -> Comment:
    """One command of the order."""
    return {
        "comment_id": order["ids"][number],
        "picture_id": order["pictures"][number],
        "author": "bench",
        "text": order["text"],
        "created_at": at,
    }


async def serve(submit: Callable[[Comment], Awaitable[object]]) -> None:
    """Orders from stdin until it closes, `in_flight` submissions at once."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        await _carry_out(json.loads(line), submit)
        print("done", flush=True)


async def _carry_out(order: dict[str, Any], submit: Callable[[Comment], Awaitable[object]]) -> None:
    waiting = deque(range(len(order["ids"])))
    began = time.time()

    async def one_after_another() -> None:
        while waiting:
            number = waiting.popleft()
            at = began + number / order["rate"] if order["rate"] else time.time()
            await asyncio.sleep(max(0.0, at - time.time()) if order["rate"] else 0)
            await submit(comment(order, number, at))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(min(order["in_flight"], len(order["ids"]))):
            tasks.create_task(one_after_another())


def serve_threads(submit: Callable[[Comment], object], most: int) -> None:
    """The same for a library that blocks: at most `most` threads."""
    with ThreadPoolExecutor(most) as pool:
        while line := sys.stdin.readline():
            order = json.loads(line)
            waiting = deque(range(len(order["ids"])))
            began = time.time()
            lock = threading.Lock()

            def one_after_another(order: dict[str, Any] = order, waiting: deque[int] = waiting, began: float = began) -> None:
                while True:
                    with lock:  # noqa: B023 - the pool is empty again before the next order
                        if not waiting:
                            return
                        number = waiting.popleft()
                    at = began + number / order["rate"] if order["rate"] else time.time()
                    if at > time.time():
                        time.sleep(at - time.time())
                    submit(comment(order, number, at))

            for each in [pool.submit(one_after_another) for _ in range(min(most, order["in_flight"]))]:
                each.result()
            print("done", flush=True)
