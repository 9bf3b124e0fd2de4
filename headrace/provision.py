"""`headrace provision`: create or update the stack and the database schema; safe to repeat, safe to run twice at once."""

import argparse
import asyncio
from dataclasses import replace

from headrace.errors import WrongUse
from headrace.provisioning.append_probe import settle_append
from headrace.provisioning.cloud import apply_template, stack_facts
from readmodel.domains import registry
from readmodel.schema import migrate
from runtime import logs
from runtime.aws import open_aws
from runtime.errors import ConfigurationError
from runtime.settings import MAX_PARTITIONS, Settings, load, require
from runtime.stack import PARTITIONS, Stack, read_stack, write_stack


def arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument("--partitions", type=int, metavar="N", help="partitions of a new stack (16)")


def main(options: argparse.Namespace) -> int:
    """Exit code 0 when everything is there."""
    settings = load()
    if options.partitions is not None:
        if not 1 <= options.partitions <= MAX_PARTITIONS:
            raise WrongUse(f"--partitions must be between 1 and {MAX_PARTITIONS}")
        settings = replace(settings, partitions=options.partitions)
    require(settings, "database_url")
    logs.configure(settings.log, "provision")
    asyncio.run(provision(settings))
    return 0


async def provision(settings: Settings) -> Stack:
    """Template, append probe, facts, schema: in this order, each step idempotent."""
    log = logs.get("provision")
    async with open_aws(settings) as aws:
        await apply_template(await aws.cloudformation(), settings)
        dynamodb = await aws.dynamodb()
        known = await read_stack(dynamodb, settings)
        _same_partitions(settings, known)
        append = known.append if known else await settle_append(aws, settings)
        facts = await stack_facts(aws, settings)
        stack = Stack(
            partitions=known.partitions if known else settings.partitions or PARTITIONS,
            append=append,
            topic_arn=facts.topic_arn,
            queues=facts.queues,
        )
        if stack != known:
            await write_stack(dynamodb, settings, stack)
    await migrate(settings, registry(settings))
    log.info("stack provisioned", action="provision", append=stack.append, partitions=stack.partitions, new=known is None)
    return stack


def _same_partitions(settings: Settings, known: Stack | None) -> None:
    """Partitions decide in which group a stream's commands wait: changing them under waiting commands breaks their order."""
    if known is not None and settings.partitions is not None and settings.partitions != known.partitions:
        asked, has = settings.partitions, known.partitions
        raise ConfigurationError([f"partitions: {asked} asked for; the stack has {has}, and those of a stack cannot be changed yet"])
