"""Starts MiniStack, by its own interpreter, with one mend: run as a file, never imported by Headrace, and imports nothing of it.

MiniStack 1.5.33 copies what a FIFO queue, and a FIFO topic, remembers of the last five minutes for every message that is sent, so a
message costs as much as there were messages: at 150 a second that is a whole core after four minutes, and all that is accepted from then on
piles up. AWS knows no such thing. Here what has expired is let go from the front, where the oldest is; what is remembered, and so every
answer, is the same.

A MiniStack that is not the one this was written for starts as it is, and the log says so.
"""

import importlib
import runpy
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Final

KNOWN: Final = "1.5.33"
MENDED: Final = (("ministack.services.sqs", "_prune_dedup"), ("ministack.services.sns", "_prune_sns_dedup"))
"""Modules, and the functions of theirs that take a queue or a topic and forget what has expired in its `dedup_cache`."""


def forget_expired(holder: dict[str, Any]) -> None:
    """As MiniStack does. Entries live equally long and are never written again, so they expire in the order in which they came."""
    remembered = holder.setdefault("dedup_cache", {})
    now = time.time()
    expired = []
    for key, entry in remembered.items():
        if entry["expire"] > now:
            break
        expired.append(key)
    for key in expired:
        del remembered[key]


def mend(found: str, load: Callable[[str], Any] = importlib.import_module) -> bool:
    """Whether it is in its place, in a MiniStack of version `found`."""
    if found != KNOWN:
        return False
    modules = [(load(name), function) for name, function in MENDED]
    if not all(callable(getattr(module, function, None)) for module, function in modules):
        return False
    for module, function in modules:
        setattr(module, function, forget_expired)
    return True


def main() -> None:
    """As `python -m ministack`."""
    if not mend(found := version("ministack")):
        print(f"MiniStack {found} is started as it is: its FIFO messages may become slow within minutes", file=sys.stderr, flush=True)
    runpy.run_module("ministack", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
