"""MiniStack: a small AWS in pure Python, ready in a second. Its state is in memory. Started by way of `ministack_start.py`."""

import os
import signal
import sys
from pathlib import Path
from typing import Final

from headrace.local.backend_home import Recipe, Say, installed, python_of
from headrace.local.locks import lock_file
from headrace.local.ports import HOST, free_port
from headrace.local.program import Program

VERSION: Final = "1.5.33"
NAME: Final = f"ministack-{VERSION}"
_START: Final = Path(__file__).with_name("ministack_start.py").resolve()
_SERVICES: Final = "sqs,sns,dynamodb,dynamodbstreams,cloudformation,iam,sts"


async def prepare(state: Path, log: Path, say: Say) -> Program:
    """The emulator with its files below `state`, installed on first use."""
    python = Path(getattr(sys, "_base_executable", sys.executable))
    folder = await installed(Recipe(NAME, python, lock_file("ministack.lock")), state, say)
    work = (state / "ministack").resolve()
    work.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    port = free_port()
    url = f"http://{HOST}:{port}"
    return Program(
        name="aws",
        role="aws",
        argv=(str(python_of(folder)), "-I", str(_START)),
        url=url,
        probe=f"{url}/_ministack/health",
        log=log,
        stop_signal=signal.SIGKILL,  # it has nothing to save, and would first wait for its clients to go
        folder=work,
        environment={
            "PATH": os.environ.get("PATH", os.defpath),
            "GATEWAY_PORT": str(port),
            "BIND_HOST": HOST,  # its default is all interfaces
            "LOG_LEVEL": "ERROR",  # below that it prints the bodies of messages
            "SERVICES": _SERVICES,
            "TMPDIR": str(work),
            "HOME": str(work),
            "STATE_DIR": str(work / "state"),
            "S3_DATA_DIR": str(work / "s3"),
        },
    )
