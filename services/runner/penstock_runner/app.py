"""The runner service: worker processes, announced functions, loops that take work, and an orderly end."""

import asyncio
import os
import socket
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

import structlog

from penstock.domain.errors import Rejected
from penstock.domain.function.options import FunctionSpec
from penstock.jetstream.connect import Connection
from penstock.jetstream.hints import HintInbox
from penstock.jetstream.inbox import Hints
from penstock.jetstream.leases import LeaseTable
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.objects import Payloads
from penstock.jetstream.publisher import Publisher
from penstock.jetstream.schedules import ScheduleLog
from penstock.jetstream.timers import JetStreamTimers
from penstock.jetstream.work import ACK_PENDING_MAX, JetStreamWork
from penstock.ports import Unavailable
from penstock.service.gate import Gate, changed_limit
from penstock.service.lifecycle import Routes, Runtime, Service
from penstock.service.settings import Settings
from penstock_runner.announce import announce, announce_schedules
from penstock_runner.children import Children
from penstock_runner.durable import Durable
from penstock_runner.execute import Executor
from penstock_runner.heartbeat import Heartbeat
from penstock_runner.lengths import Lengths
from penstock_runner.lines import LineShipper
from penstock_runner.others import Others
from penstock_runner.pinning import LiveVersions
from penstock_runner.places.choice import Places
from penstock_runner.requests import Requests
from penstock_runner.work import FunctionWork, mark_progress
from penstock_runner.workers.environment import hidden_paths, worker_environment
from penstock_runner.workers.hosts import Host, node_host, python_host
from penstock_runner.workers.messages import Hello
from penstock_runner.workers.pool import Pool

NAME = "runner"
logger = structlog.get_logger("penstock")

UNPROTECTED_HINT = (
    "This system does not let user code be kept from the services' own files or processes. Allow user namespaces, use "
    "Linux 5.19 or newer, or set PENSTOCK_ISOLATE=false if you trust the functions."
)


class Runner:
    """The parts of one runner, put together."""

    def __init__(self, runtime: Runtime, host: Host) -> None:
        settings, names = runtime.settings, runtime.names
        connection: Connection = runtime.connections[NAME]
        self.id = new_runner_id()
        self._runtime = runtime
        self._connection = connection
        self._leases = LeaseTable(connection, names)
        timers, payloads = JetStreamTimers(connection, names), Payloads(connection, names)
        self._host = host
        hidden = hidden_paths(settings) if settings.isolate else None
        self._pool = Pool(host, settings.async_processes, settings.sync_processes, hidden)
        self._places = Places(self._pool, host.environment, hidden, settings.egress_allow)
        self._shipper = LineShipper(Publisher(connection), names)
        self._gate = Gate(names, runtime.log, runtime.registry)
        log, clock, dice = runtime.log, runtime.clock, runtime.dice
        children = Children(
            names.environment, log, runtime.registry, timers, payloads, self._gate, clock, dice
        )  # fmt: skip
        lengths = Lengths(log)
        others = Others(log, Hints(connection, names), clock, dice)
        durable = Durable(
            log, timers, payloads, children, others, lengths, runtime.signing_key, settings.public_url, clock, dice
        )  # fmt: skip
        requests = Requests(log, timers, payloads, children, durable, others, clock, dice)
        self._executor = Executor(
            self.id, log, timers, self._leases, payloads, self._places, self._shipper, requests, durable, lengths,
            clock, dice, LiveVersions(self._leases),
        )  # fmt: skip
        self._hints = HintInbox(connection, names, self._executor.look_again)
        self._works: list[FunctionWork] = []
        self._loops: list[asyncio.Task[None]] = []
        self._takers: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Start worker processes, announce the functions, and take work. Raises Rejected or Unavailable."""
        spawn = self._runtime.spawn
        hello = await self._pool.open()
        specs = hello.specs
        if hello.unprotected:
            logger.warning("user_code_not_walled_off", within_reach=hello.unprotected, hint=UNPROTECTED_HINT)
        await self._places.open(specs)
        self._leases.carry({spec.name: spec.version for spec in specs})
        self._check_names(specs)
        await self._leases.renew(self.id)
        await self._hints.open(self.id)
        await self._gate.open()
        await announce(self._runtime.registry, specs, self.id)
        await self._announce_schedules(hello)
        self._runtime.functions.extend(spec.name for spec in specs)
        self._runtime.checks[f"runner.{self._host.name}"] = lambda: self._pool.problem
        self._runtime.checks["runner.nats"] = lambda: self._connection.problem
        self._loops.append(spawn(Heartbeat(self._executor, self._leases).run(), "heartbeat"))
        self._loops.append(spawn(self._gate.watch(), "gate"))
        self._loops.append(spawn(self._shipper.run(), "log-lines"))
        for spec in specs:
            work = FunctionWork(spec, self._source(spec), self._places.slots(spec), self._executor)
            self._works.append(work)
            self._takers.append(spawn(work.run(), f"work-{spec.name}"))
        self._loops.append(spawn(mark_progress(self._works), "progress"))

    async def close(self) -> None:
        """Take no more, finish or hand back, and leave nothing behind."""
        # Set first: what is taken from now on goes straight back.
        self._executor.is_draining = True
        self._leases.carry({})
        await asyncio.gather(*(work.stop() for work in self._works), return_exceptions=True)
        await self._executor.drain(self._runtime.settings.grace)
        await self._places.close()
        for task in (*self._takers, *self._loops):
            task.cancel()
        await self._shipper.flush()
        with suppress(Unavailable):
            await self._leases.release(self.id)

    def _check_names(self, specs: Sequence[FunctionSpec]) -> None:
        """A function of two hosts would run now in one, now in the other. Raises Rejected `invalid_name`."""
        both = sorted({spec.name for spec in specs} & set(self._runtime.functions))
        if both:
            raise Rejected(
                "invalid_name", f"{self._host.target} and the app both have a function {both[0]}; rename one."
            )

    async def _announce_schedules(self, hello: Hello) -> None:
        # Only the runner's user may write declarations, and the log of the process may belong to another.
        log = JetStreamLog(self._connection, self._runtime.names)
        version = next((spec.version for spec in hello.specs), "")
        await announce_schedules(ScheduleLog(log), hello.app, hello.schedules, version, self.id, self._runtime.clock())
        await log.close()

    def _source(self, spec: FunctionSpec) -> JetStreamWork:
        connection, names = self._connection, self._runtime.names
        if spec.is_gated:
            return JetStreamWork(connection, names, spec.name)
        # Without this look a restart would lift a lower limit until the scheduler notices.
        changed = partial(changed_limit, self._runtime.log, spec.name)
        return JetStreamWork(connection, names, spec.name, spec.consumer_limit or ACK_PENDING_MAX, changed)


def new_runner_id() -> str:
    """Unique to this start of the process, and a token of a subject: a restarted runner is another one."""
    host = "".join(letter if letter.isalnum() else "-" for letter in socket.gethostname())[:24]
    return f"{host}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


@asynccontextmanager
async def open_runner(runtime: Runtime) -> AsyncIterator[Routes]:
    """Run functions until left; then drain. Without an app or a folder there is nothing to run."""
    runners = [Runner(runtime, host) for host in _hosts(runtime.settings)]
    if not runners:
        logger.warning("no_app", hint="Set PENSTOCK_APP to module:attribute, such as shop:app, or PENSTOCK_NODE.")
    try:
        for runner in runners:
            await runner.open()
        yield []
    finally:
        await asyncio.gather(*(runner.close() for runner in runners))


def _hosts(settings: Settings) -> list[Host]:
    """What the settings name; each gets a runner of its own. Raises StartRefused when one cannot be started."""
    environment = worker_environment(settings.worker_env)
    hosts = [python_host(settings.app, environment)] if settings.app else []
    if settings.node:
        hosts.append(node_host(settings.node, environment, hidden_paths(settings) if settings.isolate else None))
    return hosts


service = Service(NAME, open_runner, connections=(NAME,))
