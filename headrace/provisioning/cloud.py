"""The stack as data, applied: one CloudFormation template on LocalStack, MiniStack and AWS alike.

What is optional is a template and a stack of its own beside it: LocalStack does not update a stack whose conditions change.
"""

import asyncio
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from botocore.exceptions import ClientError

from runtime.aws import Aws, aws_errors
from runtime.errors import Fatal
from runtime.settings import Settings

if TYPE_CHECKING:
    from types_aiobotocore_cloudformation import CloudFormationClient

QUEUES: Final = ("commands", "rds", "cache")
AMQP: Final = "amqp"
WAIT_SECONDS: Final = 600
_GOOD: Final = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"})
_UNDER_WAY: Final = "_IN_PROGRESS"


class StackBroken(Fatal):
    """CloudFormation gave up; its own reason is in the message."""


class Facts(NamedTuple):
    """Where the template's queues and topic are."""

    topic_arn: str
    queues: dict[str, str]


async def apply_template(cloudformation: "CloudFormationClient", settings: Settings) -> None:
    """Create the stack, or bring it to this template; wait until it is there."""
    await _apply(cloudformation, settings.stack, "stack.yaml", _parameters(settings))


async def apply_amqp(cloudformation: "CloudFormationClient", settings: Settings, topic_arn: str) -> None:
    """Create or update the queue of the projector `amqp`, subscribed to the topic."""
    await _apply(cloudformation, f"{settings.stack}-{AMQP}", "amqp.yaml", {**_parameters(settings), "TopicArn": topic_arn})


async def drop_amqp(cloudformation: "CloudFormationClient", settings: Settings) -> None:
    """Take that queue away, with what waits in it; none there is as good."""
    name = f"{settings.stack}-{AMQP}"
    with aws_errors():
        await cloudformation.delete_stack(StackName=name)
    await _settled(cloudformation, name, frozenset({"", "DELETE_COMPLETE"}))


def _parameters(settings: Settings) -> dict[str, str]:
    return {"Prefix": settings.stack, "Visibility": str(settings.visibility_seconds)}


async def _apply(cloudformation: "CloudFormationClient", name: str, template: str, parameters: dict[str, str]) -> None:
    call: dict[str, Any] = {
        "StackName": name,
        "TemplateBody": files("localstack").joinpath(template).read_text(encoding="utf-8"),
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    }
    with aws_errors():
        status, _ = await _status(cloudformation, name)
        if status.endswith(_UNDER_WAY):
            status = await _settled(cloudformation, name)
        try:
            await (cloudformation.update_stack(**call) if status else cloudformation.create_stack(**call))
        except ClientError as wrong:
            # Two provisions at once, or nothing to do: both leave the stack as it should be.
            if not _harmless(wrong):
                raise
    await _settled(cloudformation, name)


def _harmless(wrong: ClientError) -> bool:
    error = wrong.response.get("Error", {})
    return "No updates" in error.get("Message", "") or error.get("Code") == "AlreadyExistsException"


async def _status(cloudformation: "CloudFormationClient", name: str) -> tuple[str, str]:
    try:
        stacks = (await cloudformation.describe_stacks(StackName=name))["Stacks"]
    except ClientError as wrong:
        if "does not exist" not in wrong.response.get("Error", {}).get("Message", ""):
            raise
        return "", ""
    return (stacks[0]["StackStatus"], stacks[0].get("StackStatusReason", "")) if stacks else ("", "")


async def _settled(cloudformation: "CloudFormationClient", name: str, good: frozenset[str] = _GOOD) -> str:
    """Wait for a final status. CloudFormation tells nobody: asking is the only way."""
    async with asyncio.timeout(WAIT_SECONDS):
        pause = 0.05
        while True:
            with aws_errors():
                status, reason = await _status(cloudformation, name)
            if not status.endswith(_UNDER_WAY):
                break
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 5)
    if status not in good:
        raise StackBroken(f"the stack {name} is {status or 'gone'}: {reason}")
    return status


async def stack_facts(aws: Aws, settings: Settings, *, amqp: bool = False) -> Facts:
    """The topic from the stack's outputs, the queues by their names. `amqp`: its queue is made or brought up to date, too."""
    cloudformation, sqs = await aws.cloudformation(), await aws.sqs()
    with aws_errors():
        stack = (await cloudformation.describe_stacks(StackName=settings.stack))["Stacks"][0]
        outputs = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}
    wanted = (*QUEUES, AMQP) if amqp else QUEUES
    if amqp:
        await apply_amqp(cloudformation, settings, outputs["TopicArn"])
    queues = {}
    with aws_errors():
        for name in (*wanted, *(f"{each}-dead" for each in wanted)):
            queues[name] = (await sqs.get_queue_url(QueueName=f"{settings.stack}-{name}.fifo"))["QueueUrl"]
    return Facts(outputs["TopicArn"], queues)
