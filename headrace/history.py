"""`headrace history STREAM`: a stream's events as they are stored, one JSON object a line."""

import asyncio
import os
import sys
from argparse import ArgumentParser, Namespace

import msgspec

from events.dynamo_store import open_store
from events.ids import StreamId, stream_parts
from headrace.errors import WrongUse
from readmodel.domains import registry
from readmodel.timetravel import history
from runtime.aws import open_aws
from runtime.settings import Settings, load
from runtime.stack import load_stack


def arguments(parser: ArgumentParser) -> None:
    """Which stream."""
    parser.add_argument("stream", help="a stream id, such as comment-42")


def main(arguments: Namespace) -> int:
    """Exit 0 with the events, 1 when there is no such stream."""
    if stream_parts(arguments.stream) is None:
        raise WrongUse(f"{arguments.stream!r} is not a stream id")
    return asyncio.run(_print(load(), StreamId(arguments.stream)))


async def _print(settings: Settings, stream: StreamId) -> int:
    async with open_aws(settings) as aws:
        store = await open_store(aws, await load_stack(await aws.dynamodb(), settings), settings)
        events = await history(store, registry(settings), stream)
    if not events:
        print(f"headrace history: no stream {stream}", file=sys.stderr)
        return 1
    try:
        for event in events:
            sys.stdout.buffer.write(msgspec.json.encode(event) + b"\n")  # JSON is UTF-8, whatever the terminal's locale
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # who reads it has had enough; what is still buffered goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
