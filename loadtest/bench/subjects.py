"""Who takes part, by name."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from headrace.local.backend_home import Recipe, Say, installed, python_of
from loadtest.bench.batches import BatchCaller
from loadtest.bench.caller import Caller
from loadtest.bench.grounds import Grounds
from loadtest.bench.ours import NAME, Headrace
from loadtest.bench.peer import Peer, Spec
from loadtest.bench.subject import Subject
from loadtest.bench.write_side import BATCHED, SINGLE, WriteSide

_BASE: Final = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
"""By its real path: its names (python, python3) come and go with how we were called, and each would be another environment."""
BATCH_IN_FLIGHT: Final = 2000
_LOCK: Final = Path(__file__).parents[1] / "peers" / "requirements.lock"
_PER_CALL: Final = {
    "durable before ack": "yes: SQS has it",
    "one effect per command": "by the key; no id window",
    "order per entity": "yes",
    "history and replay": "yes, per stream",
    "read model apart": "yes",
    "read your write": "no",
}
_WRITE_SIDE: Final = (("worker", ("-m", "percall.worker")), ("worker", ("-m", "percall.worker")))
_READ_SIDE: Final = (("relay", ("-m", "percall.relay")), ("projector", ("-m", "percall.projector")))
PER_CALL: Final = Spec("per-call", "percall", 64, _WRITE_SIDE + _READ_SIDE, _PER_CALL)
PER_CALL_WRITE: Final = Spec("per-call write", "percall", 64, _WRITE_SIDE, {**_PER_CALL, "read model apart": "stopped"}, write_only=True)
_ES: Final = Spec(
    "pyeventsourcing",
    "pyes",
    8,
    (("projection", ("-m", "pyes.projection")),),
    {
        "durable before ack": "yes: it is stored",
        "one effect per command": "by the key; no id window",
        "order per entity": "yes",
        "history and replay": "yes, whole log in order",
        "read model apart": "yes",
        "read your write": "by position",
    },
    library=True,
)
_QUEUE: Final = {
    "durable before ack": "yes: SQS has it",
    "one effect per command": "by the key; our SQL",
    "order per entity": "no",
    "history and replay": "a table, no reader",
    "read model apart": "no: one transaction",
    "read your write": "no",
}
_CELERY_WORDS: Final = (
    "-m",
    "celery",
    "-A",
    "celerysqs.tasks",
    "worker",
    "--pool",
    "threads",
    "--concurrency",
    "8",
    "--loglevel",
    "WARNING",
    "--without-gossip",
    "--without-mingle",
    "--without-heartbeat",
)
_CELERY: Final = Spec(
    "celery on SQS",
    "celerysqs",
    16,
    (("worker", (*_CELERY_WORDS, "-n", "one@%h")), ("worker", (*_CELERY_WORDS, "-n", "two@%h"))),
    _QUEUE,
    library=True,
)
_TASKIQ_WORDS: Final = ("-m", "taskiq", "worker", "taskiqsqs.tasks:broker", "--workers", "2", "--ack-type", "when_executed")
_TASKIQ: Final = Spec(
    "taskiq on SQS",
    "taskiqsqs",
    32,
    (("worker", (*_TASKIQ_WORDS, "--max-async-tasks", "100", "--max-prefetch", "20", "--log-level", "WARNING")),),
    _QUEUE,
    library=True,
)
SPECS: Final[Mapping[str, Spec]] = {spec.name: spec for spec in (PER_CALL, PER_CALL_WRITE, _ES, _CELERY, _TASKIQ)}
NAMES: Final = (NAME, SINGLE, BATCHED, *SPECS)


async def subjects(names: Sequence[str], grounds: Grounds, state: Path, say: Say) -> list[Subject]:
    """Of these names; what their libraries need is installed if it is not there. Raises StackFailed."""
    python = sys.executable
    if any(name in SPECS and SPECS[name].library for name in names):
        python = str(python_of(await installed(Recipe("peers", _BASE, _LOCK), state, say)))
    return [_subject(name, python, grounds) for name in names]


def _subject(name: str, python: str, grounds: Grounds) -> Subject:
    if name == NAME:
        return Headrace(grounds)
    if name == SINGLE:
        return WriteSide(name, grounds, Caller, Headrace.in_flight)
    if name == BATCHED:
        return WriteSide(name, grounds, BatchCaller, BATCH_IN_FLIGHT)
    spec = SPECS[name]
    return Peer(replace(spec, python=python) if spec.library else spec, grounds)


def versions() -> dict[str, str]:
    """Of the peers' libraries, as locked."""
    found = dict(line.split(" ")[0].split("==") for line in _LOCK.read_text().splitlines() if line[:1].isalpha())
    return {name: found[name] for name in ("celery", "eventsourcing", "kombu", "psycopg", "taskiq", "taskiq-aio-sqs")}
