"""Streams as wanted, or a refusal that says what differs."""

import asyncio
import uuid

import msgspec
import pytest

from eventually import eventually
from penstock.jetstream.api import request
from penstock.jetstream.binary import check_version
from penstock.jetstream.connect import Connection
from penstock.jetstream.provision import Drift, compare, drift, provision, wanted_streams
from penstock.jetstream.refused import StartRefused
from penstock.jetstream.server import EmbeddedServer
from penstock.wire.names import Names


async def test_every_wanted_setting_is_echoed_by_the_server(connection: Connection, environment: Names) -> None:
    """The pinned server keeps all that is asked of it."""
    assert await drift(connection, environment) == []


async def test_provisioning_again_changes_nothing(connection: Connection, environment: Names) -> None:
    """Each start provisions, so the second must be harmless."""
    await provision(connection, environment)
    assert await drift(connection, environment) == []


async def test_two_processes_may_provision_at_once(nats_server: EmbeddedServer, connection: Connection) -> None:
    """Services start together."""
    names = Names(f"t-{uuid.uuid4().hex[:12]}")
    other = Connection("other")
    await other.open(nats_server.url)
    await asyncio.gather(*(provision(each, names) for each in (connection, other, connection, other)))
    assert await drift(connection, names) == []
    await other.close()


async def test_a_changed_setting_is_reported_and_stops_the_start(connection: Connection, environment: Names) -> None:
    """A limit set by hand on the log would drop facts."""
    wanted = next(each for each in wanted_streams(environment) if each["name"] == environment.executions)
    await request(connection, f"$JS.API.STREAM.UPDATE.{environment.executions}", {**wanted, "max_msgs": 1000})
    assert await drift(connection, environment) == [Drift(environment.executions, "max_msgs", -1, 1000)]
    with pytest.raises(StartRefused, match="max_msgs should be -1 and is 1000"):
        await provision(connection, environment)


async def test_a_missing_stream_is_drift(connection: Connection, environment: Names) -> None:
    """The doctor tells what is not there."""
    name = environment.logs
    await request(connection, f"$JS.API.STREAM.DELETE.{name}")
    assert await drift(connection, environment) == [Drift(name, "name", name, None)]
    await provision(connection, environment)


async def test_environments_do_not_share_streams(connection: Connection, environment: Names) -> None:
    """What one environment is told, another does not hear."""
    other = Names(f"t-{uuid.uuid4().hex[:12]}")
    await provision(connection, other)
    await connection.js.publish(environment.event_subject("signup"), b"{}")
    info = await connection.js.stream_info(other.events)
    assert info.state.messages == 0


def test_a_setting_that_an_old_server_ignores_is_drift() -> None:
    """Server 2.9 answers the creation of TIMERS with a stream that has no schedules."""
    wanted = {"name": "TIMERS", "allow_msg_schedules": True, "max_age": 0}
    assert compare(wanted, {"name": "TIMERS"}) == [Drift("TIMERS", "allow_msg_schedules", True, None)]


@pytest.mark.parametrize("version", ["2.9.10", "2.13.7", "nats-server: v2.12.1", ""])
def test_an_old_server_is_refused_by_its_version(version: str) -> None:
    """Old servers accept our settings and ignore them, so the version is looked at as well."""
    with pytest.raises(StartRefused, match=r"needs nats-server 2\.14 or newer") as refused:
        check_version(version, "The NATS server")
    assert refused.value.code == "nats_server_too_old"


@pytest.mark.parametrize("version", ["2.14.0", "2.15.1", "nats-server: v2.15.1", "3.0.0"])
def test_a_new_enough_server_is_taken(version: str) -> None:
    """From 2.14 on."""
    check_version(version, "The NATS server")


async def test_schedules_cannot_be_had_with_discard_new(connection: Connection, environment: Names) -> None:
    """Which is why timers have a stream of their own."""
    wanted = next(each for each in wanted_streams(environment) if each["name"] == environment.timers)
    answer = await connection.nc.request(
        f"$JS.API.STREAM.UPDATE.{environment.timers}", _json({**wanted, "discard": "new"}), timeout=5
    )
    assert b"discard new" in answer.data


async def test_a_stream_takes_no_more_consumers_than_its_limit(connection: Connection, environment: Names) -> None:
    """Beyond it the server refuses with error 10026, and nothing that exists is harmed."""
    limited = {
        "name": f"LIMITED-{environment.environment}",
        "subjects": [f"{environment.root}.limited"],
        "max_consumers": 2,
    }
    await request(connection, f"$JS.API.STREAM.CREATE.{limited['name']}", limited)
    answers = [
        await connection.nc.request(
            f"$JS.API.CONSUMER.CREATE.{limited['name']}.c{number}",
            _json({"stream_name": limited["name"], "config": {"name": f"c{number}", "ack_policy": "explicit"}}),
            timeout=5,
        )
        for number in range(3)
    ]
    assert b'"err_code":10026' in answers[2].data
    assert b'"err_code"' not in answers[0].data + answers[1].data
    await request(connection, f"$JS.API.STREAM.DELETE.{limited['name']}")


async def test_the_log_never_lets_go_of_a_fact_by_itself(connection: Connection, environment: Names) -> None:
    """No limit by count, size, age or subject; full means refused, not dropped."""
    info = await request(connection, f"$JS.API.STREAM.INFO.{environment.executions}")
    config = info["config"]
    assert (config["max_msgs"], config["max_bytes"], config["max_age"], config["max_msgs_per_subject"]) == (
        -1,
        -1,
        0,
        -1,
    )
    assert config["discard"] == "new"


async def test_a_lease_bucket_forgets_by_age(connection: Connection, environment: Names) -> None:
    """The server itself ends a lease."""
    info = await eventually(lambda: request(connection, f"$JS.API.STREAM.INFO.{environment.leases_stream}"))
    assert info["config"]["max_age"] == 10_000_000_000


def _json(value: object) -> bytes:
    return msgspec.json.encode(value)


async def test_what_holds_no_truth_is_not_synced_write_by_write(connection: Connection, environment: Names) -> None:
    """Wake-ups and lines are derived; the log, the doors and notifications are synced before they are acknowledged."""
    modes = {}
    for name in (environment.executions, environment.events, environment.notifications, environment.timers):
        answer = await request(connection, f"$JS.API.STREAM.INFO.{name}")
        modes[name] = answer["config"].get("persist_mode", "default")
    assert [modes[name] for name in (environment.executions, environment.events)] == ["default", "default"]
    assert (modes[environment.notifications], modes[environment.timers]) == ("default", "async")
