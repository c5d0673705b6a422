"""Whoever waits for a result goes on waiting while Penstock starts again."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator

import pytest

from penstock import Client

ID = "0190a5d4c3b27e6f8a9b0c1d2e3f4a5b"


class Restless:
    """An HTTP port that hangs up on the first two who ask for the result."""

    def __init__(self) -> None:
        self.hung_up = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        if head.startswith("GET") and self.hung_up < 2:
            self.hung_up += 1
        else:
            body = b"7"
            status = "200 OK"
            if head.startswith("POST"):
                status = "202 Accepted"
                body = json.dumps({"id": ID, "state": "queued", "sequence": "x:1", "trace_id": ID}).encode()
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
            )
        writer.close()


@pytest.fixture
async def restless() -> AsyncIterator[Restless]:
    port = Restless()
    server = await asyncio.start_server(port.serve, "127.0.0.1", 0)
    port.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield port


async def test_a_client_that_waits_rides_over_a_restart(restless: Restless) -> None:
    """The handle is good all the while."""
    async with Client(url=restless.url, api_key="key") as client:
        execution = await client.function("add").enqueue(3, 4)
        assert await execution.result(timeout="20s") == 7
    assert restless.hung_up == 2


async def test_a_command_that_waits_rides_over_a_restart(restless: Restless) -> None:
    """What was accepted is not given up."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "penstock.cli.main", "call", "add", "--wait", "--json"),
        env={**os.environ, "PENSTOCK_URL": restless.url, "PENSTOCK_API_KEY": "key"},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert json.loads(said) == {"id": ID, "state": "succeeded", "result": 7}
    assert restless.hung_up == 2
