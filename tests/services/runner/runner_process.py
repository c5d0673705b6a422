"""A runner alone in its process: `runner_process.py NATS_URL ENVIRONMENT [APP]`. SIGTERM drains it."""

import asyncio
import os
import signal
import sys

from penstock.jetstream.connect import Connection
from penstock.jetstream.feed import Feed
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.registry import FunctionRegistry
from penstock.service.lifecycle import Runtime
from penstock.service.settings import Settings
from penstock.wire.names import Names
from penstock_runner.app import open_runner


async def main(url: str, environment: str, app: str = "sample_app:app") -> None:
    names = Names(environment)
    connection = Connection("runner")
    await connection.open(url)
    log = JetStreamLog(connection, names)
    registry = FunctionRegistry(connection, names, log)
    await registry.open()
    runtime = Runtime(
        settings=Settings(app=app, sync_processes=int(os.environ.get("SYNC_PROCESSES", "1")), grace=0.5), names=names,
        connections={"runner": connection}, log=log, registry=registry, feed=Feed(log),
    )  # fmt: skip
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, runtime.stopping.set)
    async with open_runner(runtime):
        print("ready", flush=True)
        await runtime.stopping.wait()


asyncio.run(main(*sys.argv[1:]))
