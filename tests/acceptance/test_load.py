"""`headrace load` on a stack of its own: what it prints, and that it fails when a promise is broken."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import which
from typing import Any, NamedTuple

import pytest
from sqlalchemy import select, update

from headrace.local import state
from headrace.local.environment import merged
from readmodel.comments.tables import COMMENTS
from readmodel.database import PROJECTING, open_database
from runtime.settings import Settings, load
from tests.acceptance.stack import Live, headrace, stack_up

FIELDS = {
    "backend", "posted", "accepted", "refused", "applied", "rejected", "failed", "projected", "accepted_per_s", "appended_per_s",
    "projected_per_s", "latency_ms", "requests_per_1000_commands", "requests", "cpu_ms_per_command", "cpu_ms", "peak_rss_mb",
    "dollars_per_million", "audit", "requests_by_call_per_1000", "dollars", "versions", "machine", "window",
}  # fmt: skip
ROLES = {"gateway", "commands", "relay", "projector-rds", "projector-cache"}


@pytest.fixture(scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    async with stack_up(tmp_path_factory.mktemp("load") / "state") as stack:
        yield stack


async def run_load(live: Live, *words: str) -> tuple[int, dict[str, Any], str]:
    code, out, err = await headrace("load", "--state", str(live.folder), "--json", "-", *words)
    return code, json.loads(out), err


class Ran(NamedTuple):
    """What one load came to."""

    code: int
    report: dict[str, Any]
    err: str
    page: Path


@pytest.fixture(scope="module")
async def clean(live: Live, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """One run with all there is, for the tests that only look at it."""
    page = tmp_path_factory.mktemp("clean") / "report.html"
    mix = "create=60,update=20,delete=10,read=10"
    return Ran(*await run_load(live, "--rate", "80,160", "--duration", "3", "--mix", mix, "--html", str(page)), page)


async def test_a_clean_run_has_every_figure(clean: Ran) -> None:
    code, report, err, page = clean
    assert (code, report["faults"]) == (0, []), err
    assert report.keys() >= FIELDS
    assert report["posted"] == report["accepted"] + report["refused"]
    assert report["accepted"] == report["applied"] == report["projected"] > 300
    assert report["audit"]["ok"] is True
    assert report["cpu_ms"].keys() == report["peak_rss_mb"].keys() == ROLES
    assert sum(report["requests"].values()) * 1000 / report["accepted"] == pytest.approx(report["requests_per_1000_commands"], rel=0.01)
    for figures in report["latency_ms"].values():
        assert 0 < figures["p50"] <= figures["p90"] <= figures["p99"] <= figures["max"] < 20_000
    assert report["dollars"]["floor"] < report["dollars"]["total"] <= report["dollars"]["as_run"]
    text = page.read_text()
    assert "/*DATA*/" not in text
    assert "https://" not in text.replace("https://github.com/leeoniya/uPlot", "")


async def test_the_page_is_drawn_by_a_browser(clean: Ran) -> None:
    """A picture of it stays in build/artifacts, for people to look at."""
    chromium = which("chromium") or which("google-chrome")
    if chromium is None and "CI" not in os.environ:
        pytest.skip("no Chromium on this machine")
    assert chromium is not None, "CI installs Chromium"
    picture = blank_picture()
    dom = await browse(chromium, clean.page, "--dump-dom")
    assert 'data-drawn="8"' in dom  # every plot; a script that fails draws none
    assert "nothing lost, repeated or out of order" in dom
    await browse(chromium, clean.page, f"--screenshot={picture}")
    assert picture.stat().st_size > 50_000


def blank_picture() -> Path:
    picture = Path("build/artifacts/load-report.png")
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.unlink(missing_ok=True)
    return picture


async def browse(chromium: str, page: Path, do: str) -> str:
    flags = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--window-size=1320,2300",
        "--virtual-time-budget=3000",
    )
    process = await asyncio.create_subprocess_exec(chromium, *flags, do, page.as_uri(), stdout=PIPE, stderr=PIPE)
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    return out.decode()


async def test_the_batch_route(live: Live) -> None:
    code, report, err = await run_load(
        live, "--rate", "450", "--duration", "2", "--via", "batch", "--text", "200", "--mix", "create=80,update=20"
    )
    assert (code, report["faults"]) == (0, []), err
    assert report["applied"] == report["accepted"] > 700


async def test_a_stall_shows_at_its_full_length(live: Live) -> None:
    """The relay stands still for three seconds: nothing is lost, and what was posted meanwhile took that long to be seen."""
    words = ("load", "--state", str(live.folder), "--json", "-", "--rate", "100", "--duration", "4", "--mix", "create=100")
    load_process = await asyncio.create_subprocess_exec(sys.executable, "-m", "headrace", *words, stdout=PIPE, stderr=PIPE)
    assert load_process.stderr is not None
    async with asyncio.timeout(120):
        async for line in load_process.stderr:
            if b"commands/s for" in line:
                break
        relay = live.pid("relay")
        os.kill(relay, signal.SIGSTOP)
        await asyncio.sleep(3)  # the fault itself
        os.kill(relay, signal.SIGCONT)
        out, err = await load_process.communicate()
    report = json.loads(out)
    assert (load_process.returncode, report["faults"]) == (0, []), err
    assert report["latency_ms"]["visible"]["max"] > 2_500
    assert report["latency_ms"]["accepted"]["max"] < 2_500


async def test_a_corrupt_row_fails_the_run_and_is_named(live: Live) -> None:
    settings = load(merged({}, state.environment(live.folder)))
    async with corrupted(settings) as victim:
        code, report, err = await run_load(live, "--rate", "50", "--duration", "2", "--settle", "3")
    assert code == 1
    assert any(victim in fault for fault in report["faults"]), err
    assert {each["stream"] for each in report["audit"]["differences"]} == {f"comment-{victim}"}


@asynccontextmanager
async def corrupted(settings: Settings) -> AsyncIterator[str]:
    """A comment whose row does not say what was said, until the end of the block."""
    async with open_database(settings, PROJECTING) as database:
        first = select(COMMENTS.c.comment_id, COMMENTS.c.text).where(~COMMENTS.c.deleted).order_by(COMMENTS.c.comment_id).limit(1)
        async with database.engine.connect() as connection:
            victim, text = (await connection.execute(first)).one()
        row = update(COMMENTS).where(COMMENTS.c.comment_id == victim)
        async with database.engine.begin() as connection:
            await connection.execute(row.values(text="not what was said"))
        yield victim
        async with database.engine.begin() as connection:
            await connection.execute(row.values(text=text))


@pytest.mark.slow
async def test_the_knee_is_found_and_measured(live: Live) -> None:
    code, report, err = await run_load(live, "--rate", "max", "--search", "10", "--duration", "3", "--mix", "create=100")
    (rate,) = report["window"]["rates"]
    assert (code, report["faults"]) == (0, []), err
    assert "the knee" in err
    assert rate > 50
    assert report["accepted"] == pytest.approx(3 * rate, rel=0.25)


async def test_wrong_use_is_one_line(live: Live) -> None:
    code, out, err = await headrace("load", "--state", str(live.folder), "--rate", "fast")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1


async def test_without_a_stack(tmp_path: Path) -> None:
    code, _, err = await headrace("load", "--state", str(tmp_path), "--rate", "10")
    assert code == 2
    assert "no stack" in err
