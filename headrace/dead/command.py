"""`headrace dlq list|redrive`."""

import asyncio
import sys
from argparse import ArgumentParser, Namespace
from typing import Any, Final

import msgspec

from headrace.dead.alone import alone
from headrace.dead.opening import shown
from headrace.dead.redriving import Redriven, look, redrive
from headrace.errors import WrongUse
from headrace.provisioning.marking import unmarked_facts
from runtime.aws import open_aws
from runtime.settings import load
from runtime.stack import StackItem, load_stack, table_name

MOST: Final = 100
MOST_AT_ALL: Final = 1000
DONE, FAILED = 0, 1


def arguments(parser: ArgumentParser) -> None:
    """What to do with which."""
    parser.add_argument("action", choices=("list", "redrive"))
    parser.add_argument("ids", nargs="*", metavar="ID", help="redrive: ids of messages or commands (all)")
    parser.add_argument("--queue", metavar="NAME", help="commands, rds or cache (all of them)")
    parser.add_argument("--most", type=int, default=MOST, metavar="N", help=f"messages of a queue looked at ({MOST})")
    parser.add_argument("--json", action="store_true", help="one object on stdout")


def main(arguments: Namespace) -> int:
    """Exit 0; 1 when something named was not found or could not be sent, or another redrive is under way."""
    if not 1 <= arguments.most <= MOST_AT_ALL:
        raise WrongUse(f"--most must be between 1 and {MOST_AT_ALL}")
    if arguments.action == "list" and arguments.ids:
        raise WrongUse("list takes no ids")
    return asyncio.run(_carry_out(arguments))


async def _carry_out(arguments: Namespace) -> int:
    settings = load()
    async with open_aws(settings) as aws:
        dynamodb = await aws.dynamodb()
        stack = await load_stack(dynamodb, settings)
        if arguments.action == "redrive":  # under a number of partitions that is not being changed
            stack = (await unmarked_facts(StackItem(dynamodb, settings), asyncio.sleep, _say)).stack
        sqs = await aws.sqs()
        names = [name for name in stack.queues if f"{name}-dead" in stack.queues]
        if arguments.queue is not None and arguments.queue not in names:
            raise WrongUse(f"--queue must be one of {', '.join(names)}")
        names = [arguments.queue] if arguments.queue else names
        if arguments.action == "list":
            found = {name: await look(sqs, stack, name, arguments.most) for name in names}
            _show({name: {"depth": depth, "messages": [shown(name, each) for each in letters]} for name, (depth, letters) in found.items()},
                  as_json=arguments.json)  # fmt: skip
            return DONE
        wanted = set(arguments.ids)
        async with alone(await aws.dynamodb(), table_name(settings, "control")):
            moved = {name: await redrive(sqs, stack, name, wanted, arguments.most) for name in names}
        return _told(moved, wanted, as_json=arguments.json)


def _say(what: str) -> None:
    print(f"headrace dlq: {what}", file=sys.stderr, flush=True)


def _show(queues: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(queues).decode())
        return
    for name, found in queues.items():
        print(f"{name}: {found['depth']} messages")
        for each in found["messages"]:
            received = f"  received {each['receives']} times" if each["receives"] is not None else ""
            print(f"  {each['message_id']}  since {each['since']}{received}  {each['reason']}")
            for command in each.get("commands", ()):
                print(f"    {command['id']}  {command['name']}  {command['stream']}  by {command['actor']}")
            for commit in each.get("commits", ()):
                print(f"    {commit['stream']} {commit['first']}-{commit['last']}")
            if "unreadable" in each:
                print(f"    unreadable: {each['unreadable']}")
        if found["depth"] > len(found["messages"]):
            print(f"  and {found['depth'] - len(found['messages'])} more")


def _told(queues: dict[str, Redriven], wanted: set[str], *, as_json: bool) -> int:
    stuck = {message: why for found in queues.values() for message, why in found.stuck.items()}
    missing = wanted - {name for found in queues.values() for name in found.found}
    if as_json:
        said = {"redriven": {name: found.sent for name, found in queues.items()}, "stuck": stuck, "not_found": sorted(missing)}
        print(msgspec.json.encode(said).decode())
    else:
        print("redriven: " + ", ".join(f"{len(found.sent)} of {name}" for name, found in queues.items()))
    for message, why in stuck.items():
        print(f"headrace dlq: {message} stays: {why}", file=sys.stderr)
    for name in sorted(missing):
        print(f"headrace dlq: no message or command {name} there", file=sys.stderr)
    return FAILED if stuck or missing else DONE
