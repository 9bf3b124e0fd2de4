"""What the roles spent, seen from outside: AWS requests from their `/metrics`, CPU from the operating system."""

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import aiohttp
from msgspec import Struct

from headrace.local.state import Part

ROLES: Final = ("gateway", "commands", "relay", "projector-rds", "projector-cache")
_REQUESTS: Final = re.compile(r'^headrace_aws_requests_total\{call="([^"]+)",service="([^"]+)"\} ([0-9.e+]+)$', re.M)
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Reading(Struct, frozen=True):
    """One look. A role that died and came back begins anew: its pid tells."""

    pids: dict[str, int]
    cpu_ms: dict[str, float]
    requests: dict[str, dict[str, float]]
    """Role -> `service.call` -> count since the role began."""


async def read_meters(http: aiohttp.ClientSession, parts: Sequence[Part]) -> Reading:
    """Look at every role now."""
    roles = [part for part in parts if part.role in ROLES and part.pid is not None]
    requests = await asyncio.gather(*(_requests(http, part) for part in roles))
    return Reading(
        pids={part.role: part.pid or 0 for part in roles},
        cpu_ms={part.role: _cpu_ms(part.pid or 0) for part in roles},
        requests={part.role: found for part, found in zip(roles, requests, strict=True)},
    )


async def _requests(http: aiohttp.ClientSession, part: Part) -> dict[str, float]:
    try:
        async with http.get(f"{part.url}/metrics") as answer:
            text = await answer.text()
    except (aiohttp.ClientError, TimeoutError, OSError):
        return {}
    return {f"{service}.{call}": float(count) for call, service, count in _REQUESTS.findall(text)}


def _cpu_ms(pid: int) -> float:
    """User and system time of a process; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) * 1000 / _TICKS


def spent(before: Reading, after: Reading) -> tuple[dict[str, int], dict[str, float]]:
    """(requests by `service.call`, CPU ms by role) between two looks; of a role that came back, only its last life counts."""
    requests: dict[str, int] = {}
    for role, counts in after.requests.items():
        base: Mapping[str, float] = before.requests.get(role, {}) if before.pids.get(role) == after.pids[role] else {}
        for call, count in counts.items():
            requests[call] = requests.get(call, 0) + round(count - base.get(call, 0.0))
    cpu = {
        role: round(ms - (before.cpu_ms.get(role, 0.0) if before.pids.get(role) == after.pids[role] else 0.0), 1)
        for role, ms in after.cpu_ms.items()
    }
    return {call: count for call, count in sorted(requests.items()) if count}, cpu


def percentiles(seconds: Sequence[float]) -> dict[str, float | None]:
    """In milliseconds; null where nothing was measured."""
    ordered = sorted(seconds)
    if not ordered:
        return dict.fromkeys(("p50", "p90", "p99", "max"))
    found: dict[str, float | None] = {name: ordered[min(len(ordered) - 1, int(len(ordered) * share))] for name, share in _SHARES.items()}
    found["max"] = ordered[-1]
    return {name: round(value * 1000, 1) if value is not None else None for name, value in found.items()}


_SHARES: Final = {"p50": 0.50, "p90": 0.90, "p99": 0.99}
