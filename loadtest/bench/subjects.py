"""Who takes part, by name."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from headrace.local.backend_home import Say
from loadtest.bench.grounds import Grounds
from loadtest.bench.ours import NAME, Headrace
from loadtest.bench.peer import Peer, Spec
from loadtest.bench.subject import Subject

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
SPECS: Final[Mapping[str, Spec]] = {spec.name: spec for spec in (PER_CALL, PER_CALL_WRITE)}
NAMES: Final = (NAME, *SPECS)


async def subjects(names: Sequence[str], grounds: Grounds, state: Path, say: Say) -> list[Subject]:
    """Of these names; what their libraries need is installed if it is not there."""
    del state, say
    return [Headrace(grounds) if name == NAME else Peer(SPECS[name], grounds) for name in names]
