"""The stack as data, applied: one CloudFormation template on LocalStack, MiniStack and AWS alike."""

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
    name = settings.stack
    call: dict[str, Any] = {
        "StackName": name,
        "TemplateBody": files("localstack").joinpath("stack.yaml").read_text(encoding="utf-8"),
        "Parameters": [
            {"ParameterKey": "Prefix", "ParameterValue": name},
            {"ParameterKey": "Visibility", "ParameterValue": str(settings.visibility_seconds)},
        ],
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


async def _settled(cloudformation: "CloudFormationClient", name: str) -> str:
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
    if status not in _GOOD:
        raise StackBroken(f"the stack {name} is {status or 'gone'}: {reason}")
    return status


async def stack_facts(aws: Aws, settings: Settings) -> Facts:
    """The topic from the stack's outputs, the queues by their names."""
    cloudformation, sqs = await aws.cloudformation(), await aws.sqs()
    with aws_errors():
        stack = (await cloudformation.describe_stacks(StackName=settings.stack))["Stacks"][0]
        outputs = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}
        queues = {}
        for name in (*QUEUES, *(f"{each}-dead" for each in QUEUES)):
            queues[name] = (await sqs.get_queue_url(QueueName=f"{settings.stack}-{name}.fifo"))["QueueUrl"]
    return Facts(outputs["TopicArn"], queues)
