"""Lists over HTTP: every filter, and paging both ways while new rows arrive."""

import pytest

from penstock.domain.errors import Rejected
from penstock.domain.execution.facts import Enqueued, ErrorInfo, Failed, Started
from penstock_query.cursors import decode_cursor
from penstock_query.queries import Query, execution_filter
from penstock_query.shapes import rfc3339
from sample_facts import new_id, now


def enqueued(execution_id, **fields):
    at = fields.pop("at", None) or now()
    return Enqueued(**{"n": 1, "at": at, "function": "work", "trace_id": execution_id, **fields})


async def add(api, **fields):
    execution_id = new_id()
    first = enqueued(execution_id, **fields)
    await api.append(execution_id, [first], function=first.function)
    return execution_id


async def test_an_execution_has_exactly_the_documented_members(api):
    """The JSON of an execution is that of the public surface, in the list and alone."""
    execution_id = new_id()
    await api.append(execution_id, [enqueued(execution_id, at=1_700_000_000_000_001, metadata={"user": "u1"})])
    body = await api.get(f"/v1/executions/{execution_id}")
    assert body == {
        "id": execution_id,
        "function": "work",
        "state": "queued",
        "attempt": 0,
        "created_at": "2023-11-14T22:13:20.000001Z",
        "scheduled_at": None,
        "started_at": None,
        "finished_at": None,
        "updated_at": "2023-11-14T22:13:20.000001Z",
        "metadata": {"user": "u1"},
        "error": None,
        "trace_id": execution_id,
        "parent_id": None,
        "root_id": None,
        "event_id": None,
        "rerun_of": None,
        "restarted_from": None,
        "version": "",
        "progress": None,
        "sequence": "x:1",
    }
    listed = await api.get("/v1/executions")
    assert listed == {"data": [body], "next": None, "previous": None, "sequence": "x:1"}


async def test_states_are_joined_by_or(api):
    """Several states, separated by commas, list what is in any of them."""
    queued = await add(api)
    delayed = await add(api, run_at=now() + 10**9)
    failed = await add(api)
    error = ErrorInfo(code="user_error", message="boom")
    await api.append(
        failed,
        [Started(n=2, at=now(), activation=1, attempt=1, runner="r"), Failed(n=3, at=now(), attempt=1, error=error)],
        expected=api.last,
    )
    assert await api.ids(state="queued") == [queued]
    assert await api.ids(state="failed,scheduled") == [failed, delayed]
    assert await api.ids(state="succeeded") == []


async def test_lists_filter_by_function_event_parent_and_time(api):
    """Each filter lists exactly what fits, and all of them together what fits all."""
    parent = new_id()
    other = await add(api, function="other", at=1_000_000)
    child = await add(api, parent_id=parent, event_id="evt-1", at=2_000_000)
    last = await add(api, at=3_000_000)
    assert await api.ids(function="other") == [other]
    assert await api.ids(function="other,work") == [last, child, other]
    assert await api.ids(event_id="evt-1") == [child]
    assert await api.ids(parent_id=parent) == [child]
    assert await api.ids(created_after=rfc3339(2_000_000)) == [last, child]
    assert await api.ids(created_before=rfc3339(2_000_000)) == [other]
    assert await api.ids(created_after="1970-01-01T01:00:02+01:00", created_before=rfc3339(3_000_000)) == [child]
    assert await api.ids(function="work", event_id="evt-1", parent_id=parent, state="queued") == [child]
    assert await api.ids(function="other", event_id="evt-1") == []


async def test_metadata_is_and_across_keys_and_or_inside_one(api):
    """`metadata.a=1,2&metadata.b=x` lists what has a in {1, 2} and b = x."""
    first = await add(api, metadata={"a": "1", "b": "x"})
    second = await add(api, metadata={"a": "2", "b": "x"})
    third = await add(api, metadata={"a": "2", "b": "y", "c.d": "Paris, France"})
    assert await api.ids(**{"metadata.a": "1,2", "metadata.b": "x"}) == [second, first]
    assert await api.ids(**{"metadata.a": "2"}) == [third, second]
    assert await api.ids(**{"metadata.c.d": "Paris, France"}) == [third]
    assert await api.ids(**{"metadata.a": "3"}) == []


async def test_paging_forward_and_back_is_stable_under_inserts(api):
    """New rows appear on no page that was asked for before them; the way back finds them."""
    old = [await add(api) for _ in range(7)][::-1]
    first = await api.get("/v1/executions", limit=3)
    await add(api)
    second = await api.get("/v1/executions", limit=3, cursor=first["next"])
    newest = await add(api)
    third = await api.get("/v1/executions", limit=3, cursor=second["next"])
    pages = [[each["id"] for each in page["data"]] for page in (first, second, third)]
    assert pages == [old[:3], old[3:6], old[6:]]
    assert first["previous"] is None
    assert third["next"] is None
    back = await api.get("/v1/executions", limit=3, cursor=third["previous"])
    assert [each["id"] for each in back["data"]] == old[3:6]
    back = await api.get("/v1/executions", limit=3, cursor=back["previous"])
    assert [each["id"] for each in back["data"]] == old[:3]
    head = await api.get("/v1/executions", limit=3, cursor=back["previous"])
    assert head["data"][0]["id"] == newest
    assert head["previous"] is None
    assert head["next"] is not None


def check(query):
    wanted, paging = execution_filter(query), query.paging()
    decode_cursor(paging.cursor, wanted.fingerprint)
    query.after()
    query.finish()


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ({"state": "done"}, "/state"),
        ({"state": "queued,"}, "/state"),
        ({"state": ""}, "/state"),
        ({"function": "a b"}, "/function"),
        ({"parent_id": "xyz"}, "/parent_id"),
        ({"created_after": "yesterday"}, "/created_after"),
        ({"created_after": "2026-01-01T00:00:00"}, "/created_after"),
        ({"created_after": "2026-01-02T00:00:00Z", "created_before": "2026-01-01T00:00:00Z"}, "/created_before"),
        ({"limit": "0"}, "/limit"),
        ({"limit": "501"}, "/limit"),
        ({"limit": "ten"}, "/limit"),
        ({"cursor": "garbage"}, "/cursor"),
        ({"cursor": "WyJuIiw1LCJhYmMiXQ"}, "/cursor"),
        ({"cursor": "\u00e9\u00e9"}, "/cursor"),
        ({"after": "17"}, "/after"),
        ({"after": "x:-1"}, "/after"),
        ({"after": "x:99999999999999999999"}, "/after"),
        ({"metadata.": "a"}, "/metadata."),
        ({"stat": "queued"}, "/stat"),
    ],
)
def test_a_bad_parameter_is_named(params, pointer):
    """Every bad or unknown parameter is refused as `invalid_query` with a pointer at it."""
    with pytest.raises(Rejected) as refused:
        check(Query(list(params.items())))
    assert (refused.value.code, refused.value.pointers[0][0]) == ("invalid_query", pointer)


async def test_a_bad_parameter_is_an_error_and_never_an_empty_list(api):
    """Over HTTP it is a 400 problem, and it is told before any waiting."""
    for params in ({"state": "done"}, {"stat": "queued", "after": "x:999"}, {"cursor": "?", "after": "x:999"}):
        answer = await api.client.get("/v1/executions", params=params)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_query")
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_cursor_keeps_its_filters(api):
    """A cursor used with other filters is refused: it would skip rows without a word."""
    for _ in range(3):
        await add(api)
    page = await api.get("/v1/executions", limit=1, state="queued")
    problem = await api.get("/v1/executions", status=400, limit=1, cursor=page["next"])
    assert problem["code"] == "invalid_query"


async def test_a_parameter_given_twice_is_refused(api):
    """Two values of one parameter are no guess."""
    answer = await api.client.get("/v1/executions?state=queued&state=failed")
    assert answer.json()["code"] == "invalid_query"
