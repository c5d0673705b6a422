"""Rebuilding the view beside the live one: equal when nothing is wrong, and the exact rows when something is."""

from contextlib import AsyncExitStack

import pytest
from sqlalchemy import text

from eventually import eventually
from penstock.domain.errors import Rejected
from penstock.domain.execution import facts as f
from penstock.domain.system import EventFannedOut
from penstock.ports import Append, Unavailable
from penstock.service.settings import Settings
from penstock_query.database import create_schema, open_engine, schema_of, view_url
from penstock_query.rebuild import Difference, rebuild
from sample_facts import new_id
from services_query_api import open_api


def history(execution_id):
    return [
        f.Enqueued(n=1, at=1, function="work", trace_id=execution_id, metadata={"user": "u1"}),
        f.Started(n=2, at=2, activation=1, attempt=1, runner="r"),
        f.Succeeded(n=3, at=3, attempt=1),
    ]


async def some(api, count):
    ids = [new_id() for _ in range(count)]
    for execution_id in ids:
        await api.append(execution_id, history(execution_id))
    api.last = await api.log.append_system(
        "event_fanned_out", "1", EventFannedOut(at=1, sequence=1, event_id="e", name="n")
    )
    await api.get("/v1/executions")
    return ids


def rebuilt(api, **options):
    return rebuild(api.log, api.runtime.settings, api.runtime.names, **options)


async def tamper(api, statement):
    settings, names = api.runtime.settings, api.runtime.names
    engine = open_engine(view_url(settings, names), schema_of(names), writer=True)
    async with engine.begin() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


async def test_a_rebuilt_view_is_equal_and_leaves_nothing_behind(api, tmp_path):
    """While the live projector goes on, the rebuilt view equals it at the same position."""
    await some(api, 5)
    steps = []
    report = await rebuilt(api, progress=lambda done, total: steps.append((done, total)))
    assert (report.equal, report.sequence, report.differing) == (True, api.last, 0)
    assert (report.tables["executions"].live, report.tables["executions"].rebuilt) == (5, 5)
    assert (report.tables["execution_metadata"].rebuilt, report.tables["events"].rebuilt) == (5, 1)
    assert steps[-1] == (api.last, api.last)
    assert not list(tmp_path.glob("*rebuilt*"))


async def test_planted_differences_are_named(api):
    """A changed, a missing and an extra row are reported by table and key."""
    await some(api, 3)
    await tamper(api, "UPDATE executions SET state = 'failed' WHERE created_sequence = 1")
    await tamper(api, "DELETE FROM executions WHERE created_sequence = 4")
    await tamper(api, "INSERT INTO execution_metadata VALUES ('zebra', 'x', 7)")
    report = await rebuilt(api)
    assert not report.equal
    assert report.differences == [
        Difference("executions", [1], "different"),
        Difference("executions", [4], "missing"),
        Difference("execution_metadata", ["zebra", "x", 7], "extra"),
    ]
    assert report.differing == 3


async def test_a_switch_puts_the_rebuilt_view_in_place(api):
    """After a switch the readers see the rebuilt rows, and the live projector goes on from there."""
    ids = await some(api, 3)
    await tamper(api, "DELETE FROM executions WHERE created_sequence = 4")
    report = await rebuilt(api, switch=True)
    assert (report.switched, report.differing) == (True, 1)
    assert await api.ids() == ids[::-1]
    newest = new_id()
    await api.append(newest, history(newest))
    assert await api.ids(limit=1) == [newest]
    assert (await rebuilt(api)).equal


async def test_a_view_beyond_the_log_is_not_compared(api):
    """A log that ends before the view is another log: said in a sentence, and a switch follows the new one."""
    await some(api, 1)
    await tamper(api, "UPDATE position SET sequence = 99")
    with pytest.raises(Rejected, match="stands at 99"):
        await rebuilt(api)


async def ready(api):
    answer = await api.client.get("/readyz")
    return answer.status_code, answer.text


async def test_missing_facts_make_the_service_not_ready_until_a_switch(nats_server, log, database_url, tmp_path):
    """A hole in the log is an alarm that a restart does not forget, and that `--switch` accepts."""
    hole, kept = new_id(), new_id()
    for execution_id in (hole, kept):
        entry = Append(execution_id=execution_id, function="work", facts=history(execution_id), expected=0)
        await log.append(entry)
    await log.connection.js.delete_msg(log.names.executions, 2)
    for _ in range(2):
        async with AsyncExitStack() as stack:
            api = await open_api(stack, nats_server, log.names, tmp_path, database_url)

            async def alarmed(api=api):
                status, body = await ready(api)
                return status == 503 and "Facts 2 to 2 of the log are missing" in body

            await eventually(alarmed)
            api.last = 6
            assert await api.ids() == [kept, hole]
    async with AsyncExitStack() as stack:
        api = await open_api(stack, nats_server, log.names, tmp_path, database_url)
        report = await rebuilt(api, switch=True)
        assert report.gaps == [(2, 2)]
        later = new_id()
        await api.append(later, history(later))

        async def well():
            return (await ready(api))[0] == 200

        await eventually(well)
        assert (await api.ids(limit=1)) == [later]


async def test_another_log_is_noticed(nats_server, environment, tmp_path):
    """A view made from another log refuses to go on, with a sentence, instead of mixing the two."""
    async with AsyncExitStack() as stack:
        api = await open_api(stack, nats_server, environment, tmp_path, "")
        await some(api, 1)
    async with AsyncExitStack() as stack:
        api = await open_api(stack, nats_server, environment, tmp_path, "")
        await eventually(lambda: api.client.get("/readyz"))
        await tamper(api, "UPDATE position SET digest = 'other', epoch = epoch + 1")
        await api.append(new_id(), history(new_id()))

        async def refused():
            status, body = await ready(api)
            return status == 503 and "this is another log" in body

        await eventually(refused)


async def test_the_second_projector_stands_by_and_takes_over(nats_server, environment, database_url, tmp_path):
    """Of two services on one view one projects; the other answers reads, and projects when the first is gone."""
    async with AsyncExitStack() as outer:
        async with AsyncExitStack() as inner:
            first = await open_api(inner, nats_server, environment, tmp_path, database_url)
            await some(first, 1)
            second = await open_api(outer, nats_server, environment, tmp_path, database_url)
            execution_id = new_id()
            await second.append(execution_id, history(execution_id)[:2])
            assert await second.ids(limit=1) == [execution_id]
            assert (await ready(second))[0] == 200
        await second.append(execution_id, history(execution_id)[2:], expected=second.last)
        assert (await second.get(f"/v1/executions/{execution_id}"))["state"] == "succeeded"
        assert (await rebuilt(second)).equal


async def test_a_database_that_does_not_answer_is_told_in_a_sentence(names):
    """Neither a traceback nor the password of the URL."""
    url = view_url(Settings(database_url="postgresql://user:secret@127.0.0.1:1/none"), names)
    with pytest.raises(Unavailable) as refused:
        await create_schema(url, "any")
    assert "PENSTOCK_DATABASE_URL" in str(refused.value)
    assert "secret" not in str(refused.value)
