"""Ingest needs no more than the rights of its own NATS user."""

import asyncio
from pathlib import Path

import msgspec
from litestar.handlers import HTTPRouteHandler

from eventually import eventually
from penstock.jetstream.access import OPERATOR, authorization, passwords
from penstock.jetstream.connect import Connection
from penstock.jetstream.feed import Feed
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.provision import provision
from penstock.jetstream.registry import FunctionRegistry
from penstock.jetstream.server import EmbeddedServer
from penstock.service.direct import OPTION, Call, DirectRoute
from penstock.service.lifecycle import Runtime
from penstock.service.settings import Settings
from penstock.wire.names import TRIGGER_USER, Names
from penstock_ingest.app import open_ingest
from running_ingest import KEY, SPECS


async def test_all_doors_work_with_the_rights_of_their_user(tmp_path: Path) -> None:
    """Facts, timers, large arguments, hints, the consumer and both kinds of verdict on a message."""
    names, known = Names(), passwords(tmp_path)
    server = EmbeddedServer(tmp_path / "data", 0, authorization=authorization([names], known, KEY))
    await server.start()
    users = {user: Connection(user) for user in (OPERATOR, "runner", "ingest", TRIGGER_USER)}
    for user, connection in users.items():
        await connection.open(server.url, user=user, password=known.get(user, KEY))
    await provision(users[OPERATOR], names)
    declaring = FunctionRegistry(users["runner"], names, JetStreamLog(users["runner"], names))
    await declaring.open()
    for spec in SPECS:
        await declaring.declare(spec, "r")
    log = JetStreamLog(users["ingest"], names)
    registry = FunctionRegistry(users["ingest"], names, log)
    await registry.open()
    await eventually(lambda: all(registry.get(spec.name) for spec in SPECS))
    runtime = Runtime(Settings(api_key=KEY), names, {"ingest": users["ingest"]}, log, registry, Feed(log))
    async with open_ingest(runtime) as routes:
        direct: list[DirectRoute] = [
            each.opt[OPTION] for each in routes if isinstance(each, HTTPRouteHandler) and OPTION in each.opt
        ]

        async def post(path: str, body: object) -> dict[str, str]:
            for route in direct:
                value = route.match(path)
                if value is not None:
                    answer = await route.handle(Call(value, {}, msgspec.json.encode(body)))
                    return dict(msgspec.json.decode(answer.body))
            raise AssertionError(path)

        large = await post("/v1/functions/anything/executions", {"args": ["x" * 200_000]})
        delayed = await post("/v1/functions/anything/executions", {"options": {"delay": "1h"}})
        await post(f"/v1/executions/{delayed['id']}/reschedule", {"delay": "2h"})
        await post(f"/v1/executions/{large['id']}/rerun", {})
        await post(f"/v1/executions/{large['id']}/cancel", {})
        await post("/v1/events", {"name": "user.signup", "data": {"plan": "pro"}})
        for subject, data in ((names.event_subject("user.x"), b"1"), (names.invoke_subject("nobody"), b"{}")):
            await users[TRIGGER_USER].nc.publish(subject, data)

        async def settled() -> bool:
            kinds = [await log.read_system("event_fanned_out", "2"), await log.read_system("event_rejected", "3")]
            return all(kinds)

        await eventually(settled)
        assert [check() for check in runtime.checks.values()] == [None] * len(runtime.checks)
    await registry.close()
    await declaring.close()
    await asyncio.gather(*(connection.close() for connection in users.values()))
    await server.stop()
