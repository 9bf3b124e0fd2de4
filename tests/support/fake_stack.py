"""`headrace up` with roles that do nothing, for what is about processes only.

python -m tests.support.fake_stack STATE PORT AWS [ROLE=MOOD ...] [scale:ROLE=N ...]
"""

import asyncio
import sys
from pathlib import Path

from headrace.announcer import Announcer
from headrace.errors import StackFailed
from headrace.local import backends, state
from headrace.local.roles import RoleSpec, own_roles
from headrace.local.stack import Plan
from headrace.up import supervise
from runtime.lifecycle import stop_on_signals

PROVISION = (sys.executable, "-c", "print('provisioned')")
FAKE = str(Path(__file__).with_name("fake_role.py"))


async def main(folder: Path, port: int, aws: str, moods: dict[str, str]) -> int:
    """Run the stack until told to end; its exit code."""
    scale = {name.removeprefix("scale:"): int(count) for name, count in moods.items() if name.startswith("scale:")}
    named = [spec for spec in own_roles({}, scale) if not spec.role.startswith("projector-")]
    roles = [RoleSpec(spec.name, (sys.executable, FAKE, moods.get(spec.role, "")), spec.role) for spec in named]
    plan = Plan(folder, backends.choose(aws, None, ()), port, roles=roles, provision=PROVISION)
    say = Announcer(sys.stdout, None)
    with state.owned(folder):
        async with stop_on_signals() as stop:

            async def ready() -> None:
                say("ready")

            try:
                await supervise(plan, say, stop, ready)
            except StackFailed as failed:
                say(str(failed))
                return 1
    return 0


if __name__ == "__main__":
    words = sys.argv[4:]
    sys.exit(asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], dict(w.split("=") for w in words))))
