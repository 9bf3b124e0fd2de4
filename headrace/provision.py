"""`headrace provision`: create or update the stack and the database schema; safe to repeat, safe to run twice at once.

`--partitions N` gives a stack that is there another number of partitions, while it runs: see `provisioning.repartition`.
"""

import argparse
import asyncio
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from msgspec import structs

from headrace.errors import WrongUse
from headrace.provisioning.append_probe import settle_append
from headrace.provisioning.cloud import AMQP, apply_template, drop_amqp, stack_facts
from headrace.provisioning.first_stream import is_empty, know_stream
from headrace.provisioning.repartition import EMPTY_SECONDS, SETTLE_SECONDS, Change, Times
from readmodel.domains import registry
from readmodel.schema import migrate
from runtime import logs
from runtime.aws import Aws, aws_errors, open_aws
from runtime.errors import ConfigurationError
from runtime.lifecycle import stop_on_signals
from runtime.settings import MAX_PARTITIONS, Settings, load, require
from runtime.stack import PARTITIONS, Overtaken, Seen, Stack, StackItem

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

ATTEMPTS: Final = 5
EMULATOR_EMPTY_SECONDS: Final = 3.0
"""An emulator's counts are right at once."""
MOST_SETTLE: Final = 86_400.0
_COUNTS: Final = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument("--partitions", type=int, metavar="N", help="partitions of a new stack (16); changes those of one that is there")
    parser.add_argument(
        "--settle",
        type=float,
        metavar="S",
        default=SETTLE_SECONDS,
        help="changing partitions: seconds for the commands queue to become empty (600)",
    )
    parser.add_argument("--without-amqp", action="store_true", help="take the queue of projector-amqp away, with what waits in it")


def main(options: argparse.Namespace) -> int:
    """Exit code 0 when everything is there."""
    settings = load()
    if not 0 <= options.settle <= MOST_SETTLE:
        raise WrongUse(f"--settle must be between 0 and {MOST_SETTLE:g}")
    if options.partitions is not None:
        if not 1 <= options.partitions <= MAX_PARTITIONS:
            raise WrongUse(f"--partitions must be between 1 and {MAX_PARTITIONS}")
        settings = replace(settings, partitions=options.partitions)
    if options.without_amqp and settings.amqp_url:
        raise WrongUse("--without-amqp takes away what HEADRACE_AMQP_URL asks for: unset it")
    require(settings, "database_url")
    logs.configure(settings.log, "provision")
    change = None if options.partitions is None else times(settings, options.settle)
    asyncio.run(provision(settings, change, without_amqp=options.without_amqp))
    return 0


def times(settings: Settings, settle: float) -> Times:
    """How long a change of partitions takes here."""
    host = urlsplit(settings.aws_endpoint_url or "").hostname or ""
    emulated = bool(host) and not host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
    return Times(settle=settle, empty=EMULATOR_EMPTY_SECONDS if emulated else EMPTY_SECONDS)


async def provision(settings: Settings, change: Times | None = None, *, without_amqp: bool = False) -> Stack:
    """Template, append probe, facts, schema, and (with `change`) another number of partitions: in this order, each step idempotent.

    A queue for RabbitMQ, once there, stays without HEADRACE_AMQP_URL, too: only `without_amqp` takes it away.
    """
    async with open_aws(settings) as aws:
        await apply_template(await aws.cloudformation(), settings)
        item = StackItem(await aws.dynamodb(), settings)
        known = await item.read()
        if known is not None and change is None:
            _same_partitions(settings, known.stack)
        begins = known is None and await is_empty(aws, settings)
        if without_amqp:
            await drop_amqp(await aws.cloudformation(), settings)
        amqp = not without_amqp and _wants_amqp(settings, known.stack if known else None)
        if begins:
            await know_stream(aws, settings)
        stack = await _written(item, aws, settings, amqp=amqp)
        await migrate(settings, registry(settings))
        if change is not None and settings.partitions not in (None, stack.partitions):
            stack = await _changed(item, await aws.sqs(), stack, settings.partitions, change)
    logs.get("provision").info("stack provisioned", action="provision", append=stack.append, partitions=stack.partitions, new=known is None)
    return stack


def _wants_amqp(settings: Settings, known: Stack | None) -> bool:
    if settings.amqp_url:
        return True
    if known is None or AMQP not in known.queues:
        return False
    log = logs.get("provision")
    log.warning("the queue of projector-amqp stays", action="provision", why="no HEADRACE_AMQP_URL; --without-amqp takes it away")
    return True


async def _written(item: StackItem, aws: Aws, settings: Settings, *, amqp: bool) -> Stack:
    """The facts as they should be; what others write at the same time (a mark) stays."""
    for _ in range(ATTEMPTS):
        seen = await item.read()
        stack = await _facts(aws, settings, seen, amqp=amqp)
        if seen is not None and stack == seen.stack:
            return stack
        try:
            return (await item.replace(seen, stack)).stack
        except Overtaken:
            continue
    raise Overtaken("the stack's facts change all the time")


async def _facts(aws: Aws, settings: Settings, seen: Seen | None, *, amqp: bool) -> Stack:
    found = await stack_facts(aws, settings, amqp=amqp)
    if seen is not None:
        return structs.replace(seen.stack, topic_arn=found.topic_arn, queues=found.queues)
    return Stack(settings.partitions or PARTITIONS, await settle_append(aws, settings), found.topic_arn, found.queues)


async def _changed(item: StackItem, sqs: "SQSClient", stack: Stack, partitions: int | None, times: Times) -> Stack:
    assert partitions is not None  # noqa: S101 - the caller looked
    async with stop_on_signals() as stop:
        return await Change(item, lambda: messages_in(sqs, stack.queues["commands"]), stop, _say, times).to(partitions)


async def messages_in(sqs: "SQSClient", url: str) -> int:
    """Visible, in flight and delayed. Raises Retryable."""
    names: Any = list(_COUNTS)
    with aws_errors():
        answer = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)
    return sum(map(int, answer["Attributes"].values()))


def _say(what: str) -> None:
    print(f"headrace provision: {what}", file=sys.stderr, flush=True)


def _same_partitions(settings: Settings, known: Stack) -> None:
    """A setting is not meant as an order to change what runs."""
    if settings.partitions is not None and settings.partitions != known.partitions:
        asked, has = settings.partitions, known.partitions
        raise ConfigurationError([f"HEADRACE_PARTITIONS: {asked}, but the stack has {has}; `headrace provision --partitions` changes it"])
