"""What the counting proxy takes for which call, and that bytes pass it as they are."""

import asyncio
import os
import time

import pytest

from headrace.local.ports import HOST
from loadtest.bench.caller import whole
from loadtest.bench.cpu import cpu_seconds, family
from loadtest.bench.job import Job, bounds, comment_id
from loadtest.bench.proxy import Client, Counting, call_of

HEAD = b"POST / HTTP/1.1\r\nX-Amz-Target: AmazonSQS.SendMessage\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "call"),
    [
        (b"POST / HTTP/1.1\r\nX-Amz-Target: AmazonSQS.SendMessage\r\n\r\n{}", "sqs.SendMessage"),
        (b"POST / HTTP/1.1\r\nx-amz-target: DynamoDB_20120810.PutItem\r\n\r\n", "dynamodb.PutItem"),
        (b"POST / HTTP/1.1\r\nX-Amz-Target: DynamoDBStreams_20120810.GetRecords\r\n\r\n", "dynamodbstreams.GetRecords"),
        (b"POST / HTTP/1.1\r\nAuthorization: x/us-east-1/sns/aws4_request\r\n\r\nAction=Publish&TopicArn=a", "sns.Publish"),
        (b"GET /health HTTP/1.1\r\n\r\n", "other"),
    ],
)
def test_a_request_is_known_by_its_head(head: bytes, call: str) -> None:
    assert call_of(head) == call


async def test_every_request_is_counted_once_and_passed_on_unchanged() -> None:
    ended = asyncio.Event()
    requests = [HEAD + b"a" * size for size in (10, 100_000, 3)]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for request in requests:
            writer.write((await reader.readexactly(len(request))).upper())
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        ended.set()

    counting = Counting()
    server = await asyncio.start_server(answer, HOST, 0)
    there = server.sockets[0].getsockname()[1]
    proxy = await asyncio.get_running_loop().create_server(lambda: Client(counting, HOST, there), HOST, 0)
    async with server, proxy, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(HOST, proxy.sockets[0].getsockname()[1])
        for request in requests:
            writer.write(request)
            assert await reader.readexactly(len(request)) == request.upper()
        writer.close()
        await writer.wait_closed()
        await ended.wait()
    assert counting.calls == {"sqs.SendMessage": 3}


def test_an_answer_is_whole_with_its_last_byte() -> None:
    head = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n"
    assert whole(head[:-2]) is None
    assert whole(head + b"{") is None
    assert whole(head + b"{}") == 202


def test_the_ids_of_a_job_lie_between_its_bounds_and_nobody_elses() -> None:
    low, high = bounds(Job("r1s1b", 10, 1))
    assert low <= comment_id(Job("r1s1b", 10, 1), 0) < high
    assert low <= comment_id(Job("r1s1b", 10, 1), 999_999) < high
    for other in ("r1s1", "r1s1bb", "r1s1p", "r1s11b"):
        assert not low <= comment_id(Job(other, 10, 1), 5) < high


def test_cpu_is_what_the_process_spent() -> None:
    before, own = cpu_seconds([os.getpid()]), time.process_time()
    while time.process_time() - own < 0.05:
        pass
    assert cpu_seconds([os.getpid()]) - before == pytest.approx(time.process_time() - own, abs=0.02)
    assert os.getpid() in family([os.getppid()])
    assert cpu_seconds([2**22 + 1]) == 0.0
