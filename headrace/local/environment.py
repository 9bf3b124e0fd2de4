"""What a process of the stack is told: the caller's environment, with the addresses of this stack's servers in it."""

from collections.abc import Mapping
from urllib.parse import urlsplit

REGION = "us-east-1"
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def addresses(endpoint: str, database: str, redis: str, backend: str) -> dict[str, str]:
    """The settings by which a process finds the stack's servers."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "HEADRACE_DATABASE_URL": database,
        "HEADRACE_REDIS_URL": redis,
        "HEADRACE_BACKEND": backend,
    }


def credentials(caller: Mapping[str, str], *, emulator: bool, endpoint: str) -> dict[str, str]:
    """Region and keys. An emulator started by us gets keys that mean nothing, whatever the caller's are: the real ones
    must not be sent to it. A URL of the caller's keeps the caller's, and gets the others only where there are none."""
    region = caller.get("AWS_REGION") or caller.get("AWS_DEFAULT_REGION") or REGION
    if emulator:
        region = REGION
    found = {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}
    has_own = any(caller.get(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"))
    if emulator or (not has_own and urlsplit(endpoint).hostname in _LOOPBACK):
        found |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    return found


def of_process(caller: Mapping[str, str], stack: Mapping[str, str], *, emulator: bool) -> dict[str, str]:
    """The whole environment of a process: the caller's, then the stack's. A session token belongs to real keys."""
    kept = {name: value for name, value in caller.items() if not (emulator and name in _REAL)}
    return {**kept, "HEADRACE_LOG": caller.get("HEADRACE_LOG") or "json", "PYTHONUNBUFFERED": "1", **stack}


def merged(caller: Mapping[str, str], stack: Mapping[str, str]) -> dict[str, str]:
    """The environment of a command that looks at a stack: the caller's settings win. What belongs to AWS is one thing:
    the caller's region or keys mean nothing to the stack's emulator unless the caller names the endpoint as well."""
    if not stack:
        return dict(caller)
    aws = {name for name in stack if name.startswith("AWS_")} if not caller.get("AWS_ENDPOINT_URL") else set()
    dropped = aws | (_REAL if "AWS_ACCESS_KEY_ID" in aws else set())
    kept = {name: value for name, value in caller.items() if value and name not in dropped}
    given = {name: value for name, value in stack.items() if not name.startswith("AWS_") or name in aws}
    return given | kept


_REAL = frozenset({"AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_SECURITY_TOKEN"})
