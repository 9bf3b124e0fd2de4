"""The projectors' work on a batch: `rds` in one transaction, `cache` once PostgreSQL has it."""

from collections.abc import Callable
from dataclasses import dataclass

from loadtest.model.fitting import Hop
from loadtest.simulation.backends import together
from loadtest.simulation.consumers import Handle
from loadtest.simulation.engine import Cpu, Do, Engine, Machine
from loadtest.simulation.queues import Message


@dataclass(frozen=True, slots=True)
class Postgres:
    """Its machine and its CPU a command and a transaction; `wait`: seconds a transaction takes beside that, its commit above all."""

    machine: Machine
    hop: Hop
    wait: float


class Projectors:
    """Handlers of both projectors. `visible`: commands that a query shows from now on."""

    def __init__(self, engine: Engine, postgres: Postgres, visible: Callable[[list[int]], None]) -> None:
        self._engine, self._postgres, self._visible = engine, postgres, visible
        self.databases: list[Cpu] = []

    def rds(self, hop: Hop) -> Handle:
        """Of one process."""

        def handle(cpu: Cpu, messages: list[Message], done: Do) -> None:
            items = [item for message in messages for item in message.items]
            own = hop.ms_per_command * len(items) / 1000
            cpu.run(own, lambda: self._transaction(len(items), lambda: self._passed(messages, items, done)))

        return handle

    def _transaction(self, items: int, then: Do) -> None:
        """Of a connection of its own; PostgreSQL's processes share its machine."""
        hop = self._postgres.hop
        seconds = (hop.ms_per_command * items + hop.ms_per_call) / 1000
        database = Cpu(self._postgres.machine)
        self.databases.append(database)
        self._engine.after(self._postgres.wait, lambda: database.run(seconds, then))

    def _passed(self, messages: list[Message], items: list[int], done: Do) -> None:
        self._visible(items)
        for message in messages:
            message.passed = True
            for waiter in message.waiters:
                waiter()
            message.waiters.clear()
        done()

    def cache(self, hop: Hop) -> Handle:
        """Of one process: it waits for what PostgreSQL lacks, then looks there once and refreshes what Redis holds."""

        def handle(cpu: Cpu, messages: list[Message], done: Do) -> None:
            items = sum(len(message.items) for message in messages)
            lacking = [message for message in messages if not message.passed]

            def follow() -> None:
                cpu.run(hop.ms_per_command * items / 1000, lambda: self._transaction(0, done))

            if not lacking:
                follow()
                return
            each = together(len(lacking), follow)
            for message in lacking:
                message.waiters.append(each)

        return handle
