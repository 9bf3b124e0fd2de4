"""Somebody else's mark on the stack's facts; and what `headrace provision` can be asked for."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import UNSET, structs

from headrace import cli
from headrace.errors import StackFailed
from headrace.provision import times
from headrace.provisioning.marking import unmarked_facts
from headrace.provisioning.repartition import Times
from runtime.changing import unmarked
from runtime.settings import Settings
from runtime.stack import Changing, Seen, Stack
from tests.support.fake_facts import FakeFacts
from tests.support.virtual_time import run_virtually


@pytest.mark.parametrize("alive", [True, False])
def test_a_redrive_waits_for_no_dead_mark_and_is_refused_by_a_live_one(alive: bool) -> None:
    async def main() -> None:
        left = Changing(5, "somebody", 3, 30.0)
        facts, loop = FakeFacts(16, left), asyncio.get_running_loop()
        said: list[str] = []

        async def rest(seconds: float) -> None:
            await asyncio.sleep(seconds)
            if alive and loop.time() > began + 9:
                facts.put(structs.replace(facts.stack, changing=structs.replace(left, beat=4)))

        began = loop.time()
        clock: Callable[[], float] = loop.time
        if alive:
            with pytest.raises(StackFailed, match="another provision"):
                await unmarked_facts(facts, rest, said.append, clock)
        else:
            assert (await unmarked_facts(facts, rest, said.append, clock)).stack == facts.stack == unmarked(facts.stack)
            assert loop.time() - began >= left.seconds
        assert len(said) == 1

    run_virtually(main())


def test_when_another_takes_the_dead_mark_away_first_that_is_as_good() -> None:
    class Raced(FakeFacts):
        async def replace(self, seen: Seen | None, stack: Stack) -> Seen:
            self.put(structs.replace(unmarked(self.stack), append="put:2"))
            return await super().replace(seen, stack)

    async def main() -> None:
        facts = Raced(16, Changing(5, "killed", 3, 30.0))
        seen = await unmarked_facts(facts, asyncio.sleep, print, asyncio.get_running_loop().time)
        assert (seen.stack.append, seen.stack.changing) == ("put:2", UNSET)

    run_virtually(main())


@pytest.mark.parametrize(
    ("url", "empty"),
    [
        (None, 60),
        ("https://sqs.eu-central-1.amazonaws.com", 60),
        ("https://vpce-1.sqs.cn-north-1.vpce.amazonaws.com.cn", 60),
        ("http://127.0.0.1:4566", 3),
        ("http://localstack:4566", 3),
    ],
)
def test_an_emulators_counts_are_believed_sooner_than_those_of_aws(url: str | None, empty: float) -> None:
    assert times(Settings(aws_endpoint_url=url), 5.0) == Times(empty=empty, settle=5.0)


@pytest.mark.parametrize("words", [["--partitions", "0"], ["--partitions", "257"], ["--settle", "-1"], ["--settle", "nan"]])
def test_what_cannot_be_asked_for_is_wrong_use(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("os.environ", {"PATH": ""})
    assert cli.main(["provision", "--state", str(tmp_path), *words]) == 2
    assert capsys.readouterr().err.startswith(f"headrace provision: {words[0]} must be between")
