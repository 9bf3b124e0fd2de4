"""What streams that the command worker does not know cost it: `python -m loadtest.cold --state DIR` on a live stack.

First `--streams` comments are created, as fast as it goes, unmeasured; then the command worker is told to end, and the supervisor
brings it back with an empty cache. Then, turn by turn and interleaved, `--commands` of the mix create=70,update=20,delete=10 and as many
creations alone are posted through the batch route, or with `--single` one by one, at saturation. Updates and deletions go to comments of
the first part, chosen without a comment being chosen twice: each of their streams is read cold. Told are AWS requests per 1,000 commands
and the roles' CPU a command, medians over the rounds, and the medians of the rounds' ratios. Every command is looked up in the event store.
"""

import argparse
import asyncio
import os
import random
import secrets
import signal
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from events.ids import Version
from gateway.client import CONNECTIONS, Client, Command
from headrace.errors import StackFailed, WrongUse
from headrace.local.probes import answers
from loadtest.flood import Wanted, creation, deletion, flood, not_there, singly, stream_of, update
from loadtest.ground import Found, Ground, carried_out, drained, ground, say, stored, watched
from loadtest.spending import APPLIED, WORKER, outlay
from loadtest.watch import Watch

CREATE, UPDATE, DELETE = 70, 20, 10
BACK_SECONDS: Final = 60.0
_HITS: Final = 'headrace_state_cache_total{result="hit"}'


class Sizes(NamedTuple):
    """`commands` of each turn; a round is two turns. `single`: posts under way at once; 0: by the batch route."""

    streams: int
    commands: int
    rounds: int
    single: int = 0


class Turn(NamedTuple):
    """Of one turn: AWS requests per 1,000 commands, all and by call; ms of the roles' CPU a command, commands a second, cache hits."""

    requests: float
    calls: dict[str, float]
    cpu_ms: float
    per_s: float
    hits: int


class Cold:
    """One measurement. `wanted` is what must be in the event store at the end."""

    def __init__(self, client: Client, watch: Watch, sizes: Sizes) -> None:
        self._client, self._watch, self._sizes = client, watch, sizes
        self._run = f"cold{secrets.token_hex(4)}"
        self._chance = random.Random(7)  # noqa: S311 - the same turns every time
        self._names = (f"{self._run}-{number}" for number in range(10**9))
        old = [next(self._names) for _ in range(sizes.streams)]
        self._old = iter(self._chance.sample(old, len(old)))
        self.wanted: list[Wanted] = [_wanted(creation(name)) for name in old]

    async def create(self) -> None:
        """The streams that will be cold."""
        await flood(self._client, (creation(f"{self._run}-{number}") for number in range(self._sizes.streams)))
        await drained(self._watch)

    async def rounds(self) -> list[tuple[Turn, Turn]]:
        """(mix, creations) of each round."""
        found = []
        await self._turn(self._creations(self._sizes.commands))  # a worker that has just begun is not measured
        for number in range(1, self._sizes.rounds + 1):
            mixed, alone = self._mix(), self._creations(self._sizes.commands)
            if number % 2:  # whoever comes first pays for what the machine did before
                mix, creates = await self._turn(mixed), await self._turn(alone)
            else:
                creates, mix = await self._turn(alone), await self._turn(mixed)
            found.append((mix, creates))
            say(f"round {number}: mix {mix.requests:.1f} requests per 1,000, {mix.cpu_ms:.3f} ms of CPU a command; "
                f"creates {creates.requests:.1f}, {creates.cpu_ms:.3f}")  # fmt: skip
        return found

    def _mix(self) -> list[Command]:
        share = self._sizes.commands // (CREATE + UPDATE + DELETE)
        commands = self._creations(share * CREATE)
        commands += [update(next(self._old)) for _ in range(share * UPDATE)]
        commands += [deletion(next(self._old)) for _ in range(share * DELETE)]
        self._chance.shuffle(commands)
        return commands

    def _creations(self, count: int) -> list[Command]:
        return [creation(next(self._names)) for _ in range(count)]

    async def _turn(self, commands: list[Command]) -> Turn:
        self.wanted += map(_wanted, commands)
        single = self._sizes.single
        spent = await outlay(self._watch, singly(self._client, commands, single) if single else flood(self._client, commands))
        if (applied := spent.counted(APPLIED)) != spent.used.usage.commands or applied != len(commands):
            raise StackFailed(f"of {len(commands)} commands {applied} were applied, {spent.used.usage.commands} decided")
        each = 1000 / len(commands)
        calls = {call: count * each for call, count in spent.used.requests.items()}
        cpu_ms = sum(spent.used.cpu_ms.values()) / len(commands)
        return Turn(sum(calls.values()), calls, cpu_ms, len(commands) / spent.seconds, spent.counted(_HITS))


def _wanted(command: Command) -> Wanted:
    """Creations are their stream's first version; what comes to a comment of the first part is its second, since it comes alone."""
    return stream_of(command.data["comment_id"]), Version(1 if command.name == "comment.create" else 2), command.id


async def forget(on: Ground) -> None:
    """The command worker ends in order, and comes back knowing no stream. Raises StackFailed when it does not."""
    old = on.part(WORKER).pid
    if old is None:
        raise StackFailed("the command worker is down")
    say(f"restarting the command worker (pid {old}): its next life knows no stream")
    os.kill(old, signal.SIGTERM)
    try:
        async with asyncio.timeout(BACK_SECONDS):
            while (part := on.part(WORKER)).pid in {None, old} or not await answers(part.probe):  # noqa: ASYNC110 - a file tells
                await asyncio.sleep(0.1)
    except TimeoutError as late:
        raise StackFailed(f"the command worker did not come back in {BACK_SECONDS:g} s; was the stack started with --no-restart?") from late


async def measure(folder: Path, sizes: Sizes) -> Found:
    """Everything. Raises WrongUse, StackFailed."""
    on = ground(folder)
    changed = sizes.commands // (CREATE + UPDATE + DELETE) * (UPDATE + DELETE) * sizes.rounds
    if sizes.rounds < 1 or sizes.commands < 100 or sizes.commands % 100 or changed > sizes.streams or not 0 <= sizes.single <= 4096:
        raise WrongUse(
            f"--rounds at least 1, --commands in hundreds, --streams at least the {changed} that will be changed, --single to 4096"
        )
    async with (
        Client(on.stack.gateway, actor="cold", deadline=120.0, connections=max(CONNECTIONS, sizes.single)) as client,
        watched(on) as watch,
    ):
        cold = Cold(client, watch, sizes)
        say(f"creating {sizes.streams:,} comments")
        await cold.create()
        await forget(on)
        turns = await cold.rounds()
    say(f"looking {len(cold.wanted):,} commands up in the event store")
    async with stored(on) as store:
        there, faults = await not_there(store, cold.wanted)
    return _summed(sizes, turns) | {"applied": there, "faults": faults}


def _summed(sizes: Sizes, turns: Sequence[tuple[Turn, Turn]]) -> Found:
    mix, creates = ([pair[place] for pair in turns] for place in (0, 1))
    return {
        **sizes._asdict(),
        "mix": _medians(mix),
        "creates": _medians(creates),
        "times": {
            "requests": round(median(one.requests / other.requests for one, other in turns), 2),
            "cpu": round(median(one.cpu_ms / other.cpu_ms for one, other in turns), 2),
        },
    }


def _medians(turns: Sequence[Turn]) -> Found:
    calls = sorted({call for each in turns for call in each.calls})
    return {
        "by_call": {call: round(median(each.calls.get(call, 0.0) for each in turns), 1) for call in calls},
        "requests_per_1000_commands": round(median(each.requests for each in turns), 1),
        "cpu_ms_per_command": round(median(each.cpu_ms for each in turns), 4),
        "per_s": round(median(each.per_s for each in turns)),
        "state_cache_hits": sum(each.hits for each in turns),
    }


def told(found: Found) -> str:
    """For people."""
    mix, creates, times = found["mix"], found["creates"], found["times"]
    return (
        f"mix over cold streams: {mix['requests_per_1000_commands']} requests per 1,000 commands,"
        f" {mix['cpu_ms_per_command']} ms of CPU a command;"
        f" creates alone: {creates['requests_per_1000_commands']}, {creates['cpu_ms_per_command']};"
        f" {times['requests']} and {times['cpu']} times"
    )


def main() -> int:
    """Exit 1 when a command is not where it must be."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.cold", description=__doc__)
    parser.add_argument("--state", default=".headrace")
    parser.add_argument("--streams", type=int, default=100_000)
    parser.add_argument("--commands", type=int, default=10_000, help="of each turn (10000)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--single", type=int, default=0, metavar="N", help="single posts, so many under way; 0: the batch route (0)")
    given = parser.parse_args()
    sizes = Sizes(given.streams, given.commands, given.rounds, given.single)
    return carried_out("loadtest.cold", measure(Path(given.state), sizes), told)


if __name__ == "__main__":
    raise SystemExit(main())
