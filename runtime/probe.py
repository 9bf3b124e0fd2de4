"""`python -m runtime.probe`: a container's health check. Exit code 0 when the role of this container says it is ready.

Asks the process's own listener (HEADRACE_BIND's port) by loopback; imports nothing of ours, for it runs every few seconds.
"""

import os
import sys
from http.client import HTTPConnection, HTTPException
from typing import Final

DEFAULT_PORT: Final = 8080
SECONDS: Final = 4.0  # a readiness check gives each dependency two


def is_ready(port: int, host: str = "127.0.0.1") -> bool:
    """Whether `/readyz` answers 200. No answer is an answer: False."""
    connection = HTTPConnection(host, port, timeout=SECONDS)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def main() -> int:
    """The port is the environment's; proxies are not asked."""
    port = os.environ.get("HEADRACE_BIND", "").rpartition(":")[2]
    return 0 if is_ready(int(port or DEFAULT_PORT)) else 1


if __name__ == "__main__":
    sys.exit(main())
