"""A problem as what is raised."""

import msgspec

from gateway.calling.connection import Answer
from gateway.calling.failures import NotOurs, Refused
from gateway.calling.shapes import Problem


def refusal(answer: Answer) -> Refused:
    """Of an answer of 400 and above. Raises NotOurs for one that is no problem of ours."""
    try:
        problem = msgspec.json.decode(answer.body, type=Problem)
    except msgspec.MsgspecError as wrong:
        raise NotOurs(f"answered {answer.status} {answer.body[:200].decode(errors='replace')}") from wrong
    return Refused(problem.code or str(answer.status), problem.detail or problem.title, answer.status)
