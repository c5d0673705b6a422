"""The raw bound: what three log writes and one ack per item cost with nothing but nats-py.

Frozen: the figures of the product are ratios to it. One process, one connection, a window of 1,000 items, no batches,
the server syncing every write. Each item is created with an expectation (no history yet), pulled from a durable
consumer on the log, marked as started and as succeeded with expectations, and acknowledged: what the product does for a
plain execution, without any of its code.

Usage: python tests/bench/raw.py --url nats://127.0.0.1:4222 --items 20000 [--writes 3]
Prints one line of JSON: items per second, and CPU seconds of this process per 1,000 items.
"""

import argparse
import asyncio
import json
import time

import uvloop
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, StreamConfig

import nats

WINDOW = 1000
PAYLOAD = b"x" * 250
EXPECTED = "Nats-Expected-Last-Subject-Sequence"
FILTER = "Nats-Expected-Last-Subject-Sequence-Subject"


class Raw:
    """The state of one run: writes under way by token, and how far each item has come."""

    def __init__(self, client: nats.aio.client.Client, items: int, writes: int) -> None:
        self.client = client
        self.items = items
        self.writes = writes
        self.inbox = client.new_inbox() + "."
        self.window = asyncio.Semaphore(WINDOW)
        self.done = asyncio.Event()
        self.finished = 0
        self.acks: dict[str, tuple[str, int, Msg | None]] = {}
        self.tokens = 0
        self.ordered = 0

    async def write(self, item: str, kind: str, expected: int, written: int, message: Msg | None) -> None:
        self.tokens += 1
        token = str(self.tokens)
        self.acks[token] = (item, written, message)
        await self.client.publish(
            f"raw.x.{item}.{kind}.f",
            PAYLOAD,
            self.inbox + token,
            {EXPECTED: str(expected), FILTER: f"raw.x.{item}.>"},
        )

    async def on_ack(self, ack: Msg) -> None:
        item, written, message = self.acks.pop(ack.subject[len(self.inbox) :])
        answer = json.loads(ack.data)
        if "error" in answer:
            raise SystemExit(f"refused: {answer}")
        if message is None:
            return
        if written < self.writes:
            await self.write(item, "fact", answer["seq"], written + 1, message)
            return
        await self.client.publish(message.reply, b"")
        self.window.release()
        self.finished += 1
        if self.finished == self.items:
            self.done.set()

    async def on_item(self, message: Msg) -> None:
        if not message.reply:
            self.ordered = 0
        else:
            self.ordered -= 1
            sequence = int(message.reply.split(".")[5])
            await self.write(message.subject.split(".")[2], "fact", sequence, 2, message)
        if self.ordered < WINDOW // 2:
            await self.order()

    async def order(self) -> None:
        self.ordered += WINDOW
        request = json.dumps({"batch": WINDOW, "expires": 20_000_000_000}).encode()
        await self.client.publish("$JS.API.CONSUMER.MSG.NEXT.RAW.f", request, self.inbox[:-1] + "-items")

    async def run(self) -> None:
        unlimited = {"pending_msgs_limit": 0, "pending_bytes_limit": 0}
        await self.client.subscribe(self.inbox + "*", cb=self.on_ack, **unlimited)
        await self.client.subscribe(self.inbox[:-1] + "-items", cb=self.on_item, **unlimited)
        await self.order()
        for number in range(self.items):
            await self.window.acquire()
            await self.write(f"{number:032x}", "run", 0, 1, None)
        await self.done.wait()


async def main(url: str, items: int, writes: int) -> None:
    client = await nats.connect(url)
    jetstream = client.jetstream()
    await jetstream.add_stream(StreamConfig(name="RAW", subjects=["raw.x.>"], discard=DiscardPolicy.NEW))
    await jetstream.add_consumer(
        "RAW",
        ConsumerConfig(
            durable_name="f", filter_subject="raw.x.*.run.f", ack_policy=AckPolicy.EXPLICIT, max_ack_pending=4 * WINDOW
        ),
    )
    started, cpu = time.perf_counter(), time.process_time()
    await Raw(client, items, writes).run()
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    print(json.dumps({"items_per_second": items / seconds, "cpu_seconds_per_1000": cpu / items * 1000}))
    await jetstream.delete_stream("RAW")
    await client.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="nats://127.0.0.1:4222")
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--writes", type=int, default=3)
    options = parser.parse_args()
    uvloop.run(main(options.url, options.items, options.writes))
