"""A comment's past from outside: of a stream too long for one page of the store, at every edge of its versions and times."""

import asyncio
import json
import os
import sys
import uuid
from asyncio.subprocess import PIPE
from datetime import datetime, timedelta

import pytest

from tests.acceptance.stack import Live, headrace

LAST = 29
"""Versions of forty kilobytes: the store answers them in two pages."""


@pytest.mark.slow
async def test_it_is_all_there_and_shown_as_it_was_at_any_of_its_moments(live: Live) -> None:
    ident = f"c-{uuid.uuid4().hex}"
    texts = ["one", *("🌊" * 9_990 + str(version) for version in range(2, LAST + 1))]
    lines = [{"name": "comment.create", "data": {"picture_id": "p", "text": texts[0], "comment_id": ident}}]
    lines += [{"name": "comment.update", "data": {"comment_id": ident, "text": text}} for text in texts[1:]]
    lines += [{"name": "comment.delete", "data": {"comment_id": ident}}]
    body = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines).encode()
    async with live.client() as client:
        posted = await client.post("/commands/batch", content=body, headers={"Content-Type": "application/x-ndjson", "Prefer": "wait=20"})
        assert [json.loads(line)["status"] for line in posted.text.splitlines()] == ["applied"] * len(lines)
        answer = await client.get(f"/comments/{ident}/history")
        assert (answer.headers["ETag"], answer.headers["Headrace-Source"]) == (f'"{LAST + 1}"', "events")
        events = answer.json()["events"]
        assert [event["version"] for event in events] == list(range(1, LAST + 2))
        assert [event["data"].get("text") for event in events[:-1]] == texts

        async def shown(**asked: str | int) -> tuple[int, int | None]:
            found = await client.get(f"/comments/{ident}", params=asked)
            return found.status_code, found.json().get("version")

        for version in (1, LAST):
            assert await shown(version=version) == (200, version)
            at = datetime.fromisoformat(events[version - 1]["at"])
            assert await shown(at=at.isoformat()) == (200, version)
            before = await shown(at=(at - timedelta(microseconds=1)).isoformat())
            assert before == ((200, version - 1) if version > 1 else (404, None))
        for beyond in (0, -1, LAST + 1, 10**30):
            assert await shown(version=beyond) == (404, None)
        assert await shown(at=events[-1]["at"]) == (404, None)
        assert await shown(version=1, at=events[0]["at"]) == (400, None)
    await _printed(live, f"comment-{ident}", events)


async def _printed(live: Live, stream: str, events: object) -> None:
    """The same from the command, in a terminal that knows no UTF-8, and to one who reads only the beginning."""
    ascii_only = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    words = ("history", "--state", str(live.folder), stream)
    code, out, err = await headrace(*words, more=ascii_only)
    assert (code, err) == (0, "")
    assert [json.loads(line) for line in out.splitlines()] == events
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "headrace", *words, stdout=PIPE, stderr=PIPE, env=os.environ)
    assert process.stdout is not None
    assert process.stderr is not None
    await process.stdout.readexactly(10)
    process.stdout._transport.close()  # type: ignore[attr-defined]
    assert (await process.stderr.read(), await process.wait()) == (b"", 0)
