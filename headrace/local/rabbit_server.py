"""RabbitMQ as Debian and others install it, as a program on free loopback ports with folders of its own. There is no wheel of it:
a machine without one has no RabbitMQ door, unless HEADRACE_AMQP_URL names a broker elsewhere.
"""

import asyncio
import os
import pwd
import shutil
import tempfile
from asyncio.subprocess import DEVNULL
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from headrace.errors import WrongUse
from headrace.local.ports import HOST, free_port
from headrace.local.program import Account, Program

_SERVERS: Final = ("/usr/lib/rabbitmq/bin/rabbitmq-server", "/opt/homebrew/sbin/rabbitmq-server", "/usr/local/sbin/rabbitmq-server")
"""The servers themselves: the `rabbitmq-server` of Debian's PATH insists on its own user and folders."""


def is_installed() -> bool:
    """Whether this machine has a RabbitMQ to start."""
    return _server() is not None


def prepare(folder: Path, log: Path) -> Program:
    """The broker of this folder; its data lies in a folder of the system's temporary directory where another user must reach it."""
    server = _server()
    if server is None:
        raise WrongUse("no RabbitMQ here: install rabbitmq-server, or set HEADRACE_AMQP_URL")
    folder.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    account = _nobody() if os.geteuid() == 0 else None
    home = Path(tempfile.mkdtemp(prefix="headrace-rabbit-")) if account else folder.resolve()
    for name in ("data", "log"):
        (home / name).mkdir(exist_ok=True)
    (home / "rabbitmq.conf").write_text(_configuration(port := free_port()), encoding="utf-8")
    (home / "plugins").write_text("[].\n", encoding="utf-8")
    if account is not None:
        for each in (home, *home.iterdir()):
            os.chown(each, account.uid, account.gid)
    url = f"amqp://guest:guest@{HOST}:{port}/"
    return Program(
        name="rabbitmq",
        role="rabbitmq",
        argv=(server,),
        url=url,
        probe=f"tcp://{HOST}:{port}",
        log=log,
        folder=home,
        environment=_environment(home, port),
        account=account,
    )


async def remove(program: Program) -> None:
    """What an ended broker leaves: Erlang's port mapper, a daemon of its own, and its folder in the temporary directory."""
    mapper = shutil.which("epmd")
    if mapper is not None:
        told = await asyncio.create_subprocess_exec(
            mapper, "-port", program.environment["ERL_EPMD_PORT"], "-kill", stdout=DEVNULL, stderr=DEVNULL
        )
        await told.wait()
    if program.account is not None:
        await asyncio.to_thread(shutil.rmtree, program.folder, ignore_errors=True)


def _configuration(port: int) -> str:
    return f"listeners.tcp.1 = {HOST}:{port}\nloopback_users.guest = true\nlog.console = true\nlog.file = false\n"


def _environment(home: Path, port: int) -> Mapping[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "RABBITMQ_NODENAME": f"headrace-{port}@localhost",
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
        "RABBITMQ_PID_FILE": str(home / "pid"),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "ERL_EPMD_PORT": str(free_port()),
        "ERL_EPMD_ADDRESS": HOST,
    }


def _server() -> str | None:
    return next((each for each in _SERVERS if os.access(each, os.X_OK)), None)


def _nobody() -> Account:
    entry = pwd.getpwnam("nobody")
    return Account(entry.pw_uid, entry.pw_gid)
