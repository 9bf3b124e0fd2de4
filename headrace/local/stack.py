"""A whole stack: servers, then provisioning, then roles, each kept alive; and the way back."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from headrace.errors import StackFailed
from headrace.local import backends, environment, postgres_server, redis_server, state
from headrace.local.backends import Choice
from headrace.local.keeper import MOST_DEATHS, MOST_SECONDS, Keeper, Return, Say
from headrace.local.ports import free_port
from headrace.local.probes import answers
from headrace.local.program import Program
from headrace.local.provisioning import provision
from headrace.local.roles import ROLES, RoleSpec, our_command, own_roles, role_program
from runtime.lifecycle import unless_stopped

DRAIN_SECONDS: Final = 25.0
_TURN_SECONDS: Final = 5.0
_SERVERS_SECONDS: Final = 15.0
_GIVEN_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be brought up, and where. `provision` is the command line that makes queues, tables and schema; `put_off` the most
    seconds from a role's death to its next life; `most_deaths` of a role in a row, before it was ready, end the stack."""

    state: Path
    choice: Choice
    gateway_port: int
    restart: bool = True
    put_off: float = MOST_SECONDS
    most_deaths: int = MOST_DEATHS
    roles: Sequence[RoleSpec] = field(default_factory=own_roles)
    provision: tuple[str, ...] = our_command("provision")

    def log(self, name: str) -> Path:
        """The log of that part."""
        return self.state / "logs" / f"{name}.log"


class Supervisor:
    """Runs a plan until told to stop. Whatever ends it, no process of the stack outlives it."""

    def __init__(self, plan: Plan, say: Say) -> None:
        self._plan, self._say = plan, say
        self._servers: list[Keeper] = []
        self._roles: list[Keeper] = []
        self._given: list[state.Part] = []
        self._addresses: dict[str, str] = {}
        self._outside: Path | None = None
        self._phase = "starting"

    async def run(self, stop: asyncio.Event, ready: Callable[[], Awaitable[None]]) -> None:
        """Bring all up, await `ready`, wait for `stop`, drain. Raises StackFailed (in a group) when it cannot be kept."""
        try:
            async with asyncio.TaskGroup() as lives:
                await unless_stopped(stop, self._bring_up(lives))
                if not stop.is_set():
                    self._enter("ready")
                    await ready()
                    await stop.wait()
                self._say("draining")
                self._enter("draining")
                await self._drain()
        finally:
            self._phase, self._addresses, self._given = "stopped", {}, []
            self._servers, self._roles = [], []
            self._write()

    async def _bring_up(self, lives: asyncio.TaskGroup) -> None:
        self._write()
        async with asyncio.TaskGroup() as starting:
            aws = starting.create_task(self._aws(lives))
            database = starting.create_task(self._postgres(lives))
            redis = starting.create_task(self._redis(lives))
            rabbit = starting.create_task(self._rabbit())
        found = environment.addresses(aws.result(), database.result(), redis.result(), self._plan.choice.name)
        found |= rabbit.result()
        found |= environment.credentials(os.environ, emulator=self._emulated, endpoint=aws.result())
        self._addresses = {**found, "HEADRACE_STATE": str(self._plan.state)}
        self._write()
        await self._provision()
        async with asyncio.TaskGroup() as starting:
            for spec in self._plan.roles:
                starting.create_task(self._role(lives, spec))
        for keeper in (*self._servers, *self._roles):  # one may have died while others were still starting
            await keeper.until_ready()

    async def _aws(self, lives: asyncio.TaskGroup) -> str:
        choice = self._plan.choice
        self._say(f"AWS is {choice.name}: {choice.why}")
        if choice.kind == "url":
            return await self._take("aws", choice.name, choice.name.replace("http", "tcp", 1))
        program = await backends.prepare(choice.kind, self._plan.state, self._plan.log("aws"), self._say)
        return await self._keep(lives, program, self._servers, self._remember)

    async def _postgres(self, lives: asyncio.TaskGroup) -> str:
        given = os.environ.get("HEADRACE_DATABASE_URL")
        if given:
            return await self._take("postgres", given, given)
        program = await postgres_server.prepare(self._plan.state / "postgres", self._plan.log("postgres"))
        if not program.folder.is_relative_to(self._plan.state.resolve()):
            self._outside = program.folder.parent
        url = await self._keep(lives, program, self._servers)
        # An emulator forgets its event store with its process; a read model that remembers would not fit the new one.
        await (postgres_server.fresh_database if self._emulated else postgres_server.ensure_database)(url)
        return url

    async def _redis(self, lives: asyncio.TaskGroup) -> str:
        given = os.environ.get("HEADRACE_REDIS_URL")
        if given:
            return await self._take("redis", given, given)
        program = redis_server.prepare(self._plan.state / "redis", self._plan.log("redis"))
        return await self._keep(lives, program, self._servers)

    async def _rabbit(self) -> dict[str, str]:
        """Only ever the caller's: without one there is no RabbitMQ, and nothing of it."""
        given = os.environ.get("HEADRACE_AMQP_URL")
        return {"HEADRACE_AMQP_URL": await self._take("rabbitmq", given, amqp_probe(given))} if given else {}

    async def _role(self, lives: asyncio.TaskGroup, spec: RoleSpec) -> None:
        port = self._plan.gateway_port if spec is self._plan.roles[0] else free_port()  # of several gateways the first has it
        told = environment.of_process(os.environ, self._addresses, emulator=self._emulated)
        await self._keep(lives, role_program(spec, port, told, self._plan.log(spec.name)), self._roles)

    async def _keep(self, lives: asyncio.TaskGroup, program: Program, among: list[Keeper], returned: Return | None = None) -> str:
        """Start it, with all its lives to come; its address once it is ready."""
        since = asyncio.get_running_loop().time()
        keeper = Keeper(program, self._say, self._write, returned)
        if among is self._roles:
            keeper.restart, keeper.most_seconds, keeper.most_deaths = self._plan.restart, self._plan.put_off, self._plan.most_deaths
        among.append(keeper)
        lives.create_task(keeper.run())
        await keeper.until_ready()
        seconds = asyncio.get_running_loop().time() - since
        self._say(f"{program.name:<16} ready  {program.url}  ({seconds:.1f} s)")
        return program.url

    async def _take(self, role: str, url: str, probe: str) -> str:
        """A server of the caller's: used as it is, once it answers."""
        try:
            async with asyncio.timeout(_GIVEN_SECONDS):
                while not await answers(probe):  # noqa: ASYNC110 - it is not ours, it tells us nothing
                    await asyncio.sleep(0.2)
        except TimeoutError as exc:
            raise StackFailed(f"{role}: nothing answers at {redacted(url)}") from exc
        self._given.append(state.Part(role, role, None, redacted(url), probe, given=True))
        self._say(f"{role:<16} given  {redacted(url)}")
        return url

    async def _provision(self) -> None:
        told = environment.of_process(os.environ, self._addresses, emulator=self._emulated)
        await provision(self._plan.provision, told, self._plan.log("provision"))

    async def _remember(self) -> None:
        """The emulator came back empty: its queues, topic and tables are made again; what was in them is gone."""
        self._say(f"{self._plan.choice.name} keeps its data in memory: the event store and the queues are empty again")
        if self._addresses:
            await self._provision()

    async def _drain(self) -> None:
        """Roles one after the other in the order of the way, so that each can still hand on; then the servers."""
        limit = asyncio.get_running_loop().time() + DRAIN_SECONDS
        for role in dict.fromkeys(spec.role or spec.name for spec in self._plan.roles):
            of_it = [keeper for keeper in self._roles if keeper.program.role == role]
            for keeper in of_it:
                keeper.ask_to_stop()
            await _ended(of_it, min(_TURN_SECONDS, limit - asyncio.get_running_loop().time()))
        await self._end(self._roles, limit - asyncio.get_running_loop().time())
        for keeper in self._servers:
            keeper.ask_to_stop()
        await self._end(self._servers, _SERVERS_SECONDS)

    async def _end(self, keepers: list[Keeper], seconds: float) -> None:
        late = await _ended(keepers, seconds)
        for keeper in late:
            self._say(f"{keeper.program.name} did not end in time: killed")
            keeper.kill()
        await _ended(late, _SERVERS_SECONDS)

    @property
    def _emulated(self) -> bool:
        return self._plan.choice.kind != "url"

    def _enter(self, phase: str) -> None:
        self._phase = phase
        self._write()

    def _write(self) -> None:
        kept = [_part(keeper) for keeper in (*self._servers, *self._roles)]
        state.write(
            self._plan.state,
            state.Stack(
                supervisor=os.getpid(),
                phase=self._phase,
                backend=self._plan.choice.name,
                gateway=f"http://127.0.0.1:{self._plan.gateway_port}",
                outside=str(self._outside) if self._outside else None,
                environment=self._addresses,
                parts=tuple(sorted((*self._given, *kept), key=_place)),
            ),
        )


def amqp_probe(url: str) -> str:
    """Where the broker listens, without user and password."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"tcp://{host}:{parts.port or (5671 if parts.scheme == 'amqps' else 5672)}"


def redacted(url: str) -> str:
    """The URL without its password."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}@{host}"))


def _part(keeper: Keeper) -> state.Part:
    program = keeper.program
    return state.Part(program.name, program.role, keeper.pid, program.url, program.probe, keeper.restarts)


def _place(part: state.Part) -> tuple[int, int, str]:
    order = ("aws", "postgres", "redis", "rabbitmq", *ROLES)
    return order.index(part.role) if part.role in order else len(order), len(part.name), part.name


async def _ended(keepers: Sequence[Keeper], seconds: float) -> list[Keeper]:
    """Wait for their ends at most so long; those that have not ended."""
    waits = {asyncio.create_task(keeper.ended()): keeper for keeper in keepers}
    if not waits:
        return []
    _, late = await asyncio.wait(waits, timeout=max(0.0, seconds))
    for task in late:
        task.cancel()
    return [waits[task] for task in late]
