"""A caller of the gateway as a backend service would be: many posts in flight, each repeated under its key until answered."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

import aiohttp

from headrace.demo.script import Post
from headrace.errors import StackFailed
from runtime.lifecycle import backoff

ANSWER_SECONDS: Final = 45
GIVE_UP_SECONDS: Final = 150
SAMPLES: Final = 200
SAMPLE_MOST: Final = 10
"""Of the commands, so many are waited for and read back with their tokens: 200 or one in a hundred, but never more than one in ten."""


@dataclass(slots=True)
class Told:
    """What the callers were told: receipts and how long each took, in seconds from the post's first attempt."""

    receipts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By key."""
    refused: dict[str, str] = field(default_factory=dict)
    """Key -> code, of posts that were answered with a refusal to accept."""
    repeats: int = 0
    accepted: list[float] = field(default_factory=list)
    applied: list[float] = field(default_factory=list)
    visible: list[float] = field(default_factory=list)
    began: float = 0.0
    last_accepted: float = 0.0


class Caller:
    """Posts threads of commands; within a thread each waits for the answer to the one before."""

    def __init__(self, http: aiohttp.ClientSession, gateway: str, told: Told, progress: Callable[[int], None]) -> None:
        self._http, self._gateway, self._told, self._progress = http, gateway, told, progress
        self._comments: dict[int, str] = {}
        self._posted = 0
        self._every = 100

    async def post_all(self, threads: Iterable[list[Post]], in_flight: int) -> None:
        """All of them, `in_flight` at a time, the comments taking turns."""
        waiting = deque(deque(thread) for thread in threads)
        self._every = min(100, max(SAMPLE_MOST, sum(map(len, waiting)) // SAMPLES))
        self._told.began = monotonic()

        async def one_after_another() -> None:
            while waiting:
                thread = waiting.popleft()
                await self._post(thread.popleft())
                if thread:
                    waiting.append(thread)

        async with asyncio.TaskGroup() as callers:
            for _ in range(in_flight):
                callers.create_task(one_after_another())

    async def _post(self, post: Post) -> None:
        self._posted += 1
        sampled = self._posted % self._every == 0
        began = monotonic()
        status, receipt = await self._until_answered(post, began, sampled=sampled)
        took = monotonic() - began
        self._progress(1)
        if status >= 300 and "command_id" not in receipt:
            self._told.refused[post.key] = str(receipt.get("code", status))
            return
        self._told.receipts[post.key] = receipt
        self._told.last_accepted = monotonic()
        self._comments[post.subject] = receipt["stream"].partition("-")[2]
        if receipt.get("status") == "pending":
            self._told.accepted.append(took)
        elif receipt.get("status") == "applied":
            self._told.applied.append(took)
            await self._see(post, receipt["token"], began)

    async def _until_answered(self, post: Post, began: float, *, sampled: bool) -> tuple[int, dict[str, Any]]:
        attempt = 0
        while True:
            try:
                status, receipt = await self._once(post, sampled=sampled)
                if status < 500:
                    return status, receipt
            except (aiohttp.ClientError, TimeoutError, OSError) as wrong:
                receipt = {"detail": type(wrong).__name__}
            if monotonic() - began > GIVE_UP_SECONDS:
                raise StackFailed(f"no answer to {post.kind} {post.key} in {GIVE_UP_SECONDS} s: {receipt.get('detail', '')}")
            attempt += 1
            self._told.repeats += 1
            await asyncio.sleep(backoff(attempt, random.random(), most=1.0))  # noqa: S311 - jitter

    async def _once(self, post: Post, *, sampled: bool) -> tuple[int, dict[str, Any]]:
        method, path, body = self._request(post)
        headers = {"Idempotency-Key": post.key, "Headrace-Actor": post.author}
        if sampled:
            headers["Prefer"] = "wait=30"
        async with self._http.request(method, self._gateway + path, json=body, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    def _request(self, post: Post) -> tuple[str, str, dict[str, str] | None]:
        if post.kind == "create":
            return "POST", f"/pictures/{post.picture}/comments", {"text": post.text}
        path = f"/comments/{self._comments[post.subject]}"
        return ("PATCH", path, {"text": post.text}) if post.kind == "update" else ("DELETE", path, None)

    async def _see(self, post: Post, token: str, began: float) -> None:
        """From the post to a read that is held to its token."""
        path = f"/comments/{self._comments[post.subject]}"
        while monotonic() - began < GIVE_UP_SECONDS:
            try:
                async with self._http.get(self._gateway + path, params={"after": token, "wait": "10"}) as answer:
                    await answer.read()
                    if answer.status == 200 or (answer.status == 404 and post.kind == "delete"):
                        self._told.visible.append(monotonic() - began)
                        return
            except (aiohttp.ClientError, TimeoutError, OSError):
                self._told.repeats += 1
            await asyncio.sleep(0.1)
        raise StackFailed(f"{post.kind} {post.key} was applied but not visible in {GIVE_UP_SECONDS} s")


async def outcomes(http: aiohttp.ClientSession, gateway: str, told: Told, at_once: int) -> dict[str, dict[str, Any]]:
    """Every accepted command's final status, asked by the URL its receipt named. By key."""
    found: dict[str, dict[str, Any]] = {}
    waiting = deque(told.receipts.items())

    async def ask() -> None:
        while waiting:
            key, receipt = waiting.popleft()
            found[key] = await _outcome(http, gateway + receipt["status_url"])

    async with asyncio.TaskGroup() as askers:
        for _ in range(at_once):
            askers.create_task(ask())
    return found


async def _outcome(http: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    began = monotonic()
    while True:
        try:
            async with http.get(url + ("&" if "?" in url else "?") + "wait=30") as answer:
                status: dict[str, Any] = await answer.json(content_type=None)
                if answer.status == 200 and status["status"] != "pending":
                    return status
        except (aiohttp.ClientError, TimeoutError, OSError) as wrong:
            status = {"detail": type(wrong).__name__}
        if monotonic() - began > GIVE_UP_SECONDS:
            return {"status": "lost", **status}
        await asyncio.sleep(0.2)
