"""Which AWS a stack runs on: what was asked for, what can be had, and why."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from headrace.errors import WrongUse
from headrace.local import localstack, ministack
from headrace.local.backend_home import Say
from headrace.local.program import Program

EMULATORS: Final = {"ministack": ministack.NAME, "localstack": localstack.NAME}


@dataclass(frozen=True, slots=True)
class Choice:
    """`kind` is ministack, localstack or url; `name` is what reports call it (HEADRACE_BACKEND); `why` is for
    people.
    """

    kind: str
    name: str
    why: str


def choose(asked: str, endpoint: str | None, missing: tuple[str, ...]) -> Choice:
    """`asked`: auto, localstack, ministack or a URL. `endpoint`: AWS_ENDPOINT_URL. `missing`: what LocalStack lacks."""
    match asked:
        case "ministack":
            return Choice("ministack", ministack.NAME, "asked for")
        case "localstack" if missing:
            raise WrongUse(f"LocalStack without Docker needs {', '.join(missing)}: not found here (or take ministack)")
        case "localstack":
            return Choice("localstack", localstack.NAME, "asked for")
        case "auto" if endpoint:
            return Choice("url", endpoint, "AWS_ENDPOINT_URL names it")
        case "auto" if missing:
            return Choice("ministack", ministack.NAME, f"LocalStack would need {', '.join(missing)}")
        case "auto":
            return Choice("localstack", localstack.NAME, "all that LocalStack needs is here")
        case _ if asked.startswith(("http://", "https://")):
            return Choice("url", asked.rstrip("/"), "asked for")
    raise WrongUse(f"--aws {asked}: not auto, localstack, ministack or a URL")


async def prepare(kind: str, state: Path, log: Path, say: Say = lambda _: None) -> Program:
    """The emulator of that kind, ready to be started."""
    match kind:
        case "ministack":
            return await ministack.prepare(state, log, say)
        case "localstack":
            return await localstack.prepare(state, log, say)
    raise WrongUse(f"{kind}: not localstack or ministack")
