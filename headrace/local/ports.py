"""Which port a part gets."""

import random
import socket
from typing import Final

from headrace.errors import WrongUse

HOST: Final = "127.0.0.1"
GATEWAY_PORT: Final = 8080
# Below the ports that the kernel gives to outgoing connections: one of those could take a dead part's port, and the
# part could then not come back on it.
_OURS: Final = range(20_000, 32_000)


def is_free(port: int) -> bool:
    """Whether a server could listen on the port of the loopback address now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Any free port; chosen at random, so that stacks started in the same moment do not all want the same one."""
    for port in random.sample(_OURS, 200):
        if is_free(port):
            return port
    raise WrongUse(f"no free port between {_OURS.start} and {_OURS.stop}")


def gateway_port(asked: int | None) -> int:
    """Not asked: 8080, or a free one where that is taken. 0: a free one. A port asked for by number must be free."""
    if asked is None:
        return GATEWAY_PORT if is_free(GATEWAY_PORT) else free_port()
    if asked == 0:
        return free_port()
    if not 0 < asked < 65_536:
        raise WrongUse(f"--port {asked}: a port is a number from 0 to 65535")
    if not is_free(asked):
        raise WrongUse(f"--port {asked} is taken")
    return asked
