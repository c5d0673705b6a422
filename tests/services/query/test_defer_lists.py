"""Defer's list of executions: every filter, paging both ways, and its own writes at once; on both databases."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from penstock.domain.execution import facts as f
from penstock.jetstream.server import EmbeddedServer
from penstock_query import walk
from penstock_query.progress import Progress
from penstock_query.view import View
from sample_facts import new_id
from services_query_api import Api
from services_query_defer import (
    ABORTED,
    AT,
    CANCELLED,
    CREATED,
    FAILED,
    HISTORIES,
    RETRYING,
    SECOND,
    STARTED,
    V2,
    ended,
    shared_api,
)  # fmt: skip

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
)
async def api(
    request: pytest.FixtureRequest, nats_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Api]:
    """One service for all tests here: each asks for its own functions only."""
    url = "" if request.param == "sqlite" else str(request.getfixturevalue("postgres"))
    async with shared_api(nats_server, tmp_path_factory.mktemp("view"), url) as api:
        yield api


@pytest.fixture(params=["few", "many"])
def rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The query begins at a filter that leaves few rows, or walks along the list since none does."""
    if request.param == "many":
        monkeypatch.setattr(walk, "FEW", 0)


class Work:
    """Executions of one function that no other test has."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.function = f"work_{new_id()}"

    async def add(self, facts: Sequence[f.AnyFact] = CREATED, **fields: Any) -> str:
        """An execution with these facts; the first has these fields."""
        execution_id = new_id()
        first = msgspec.structs.replace(facts[0], function=self.function, **fields)
        await self.api.append(execution_id, [first, *facts[1:]], function=self.function)
        return execution_id

    async def page(self, page: dict[str, Any] | None = None, **filters: Any) -> dict[str, Any]:
        """One page of the list."""
        wanted = {"filters": {"function_ids": [self.function], **filters}}
        answer = await self.api.client.post(V2, json=wanted if page is None else {**wanted, "page": page})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def ids(self, **filters: Any) -> list[str]:
        return [each["id"] for each in (await self.page(**filters))["data"]]


@pytest.fixture
def work(api: Api) -> Work:
    return Work(api)


async def test_what_was_written_just_now_is_listed(api: Api, work: Work) -> None:
    """Newest first, without having been told a position, by POST and by GET with a body, and without any body."""
    for number in range(10):
        execution_id = await work.add()
        assert (await work.ids())[0] == execution_id, number
    shown = (await api.client.get(f"{V2}/{execution_id}")).json()["data"]
    for request in (
        {"method": "POST", "json": {}},
        {"method": "GET", "json": {"page": {"first": 1}}},
        {"method": "GET"},
    ):
        answer = await api.client.request(url=V2, **request)
        assert answer.json()["data"][0] == shown


@pytest.mark.usefixtures("rows")
async def test_each_state_lists_what_is_in_it(work: Work) -> None:
    """Also where one of our states is two of Defer's; several are joined by or."""
    ids = {state: await work.add(facts) for state, facts in HISTORIES.items()}
    for state, execution_id in ids.items():
        assert await work.ids(states=[state]) == [execution_id], state
    newest_first = list(reversed(ids.values()))
    assert await work.ids(states=list(ids)) == newest_first
    assert await work.ids(states=["aborted", "created", "cancelled"]) == [
        ids["aborted"], ids["cancelled"], ids["created"],
    ]  # fmt: skip
    assert await work.ids(states=[]) == newest_first


@pytest.mark.usefixtures("rows")
async def test_what_is_tried_again_is_started(work: Work) -> None:
    """Also while it is queued for its next attempt: it never becomes created anew."""
    waiting = await work.add(RETRYING)
    queued = await work.add((*RETRYING, f.Due(n=4, at=AT + 60 * SECOND)))
    assert await work.ids(states=["started"]) == [queued, waiting]
    assert await work.ids(states=["created"]) == []


@pytest.mark.usefixtures("rows")
async def test_functions_are_joined_by_or(api: Api, work: Work) -> None:
    """Ids of functions are their names."""
    other = Work(api)
    first, second = await work.add(), await other.add()
    assert await work.ids(function_ids=[work.function, other.function]) == [second, first]
    assert await work.ids(function_ids=[f"nobody_{new_id()}"]) == []


@pytest.mark.usefixtures("rows")
async def test_error_codes_list_what_failed_that_way(work: Work) -> None:
    """ER0000 is every failure that has no code of its own; what did not fail has none."""
    ids = {}
    for code in ("user_error", "crashed", "timed_out", "out_of_memory", "runner_lost", "diverged"):
        ids[code] = await work.add(ended(STARTED, f.Failed, attempt=1, error=f.ErrorInfo(code=code)))
    for facts in (RETRYING, CANCELLED, ABORTED):
        await work.add(facts)
    assert await work.ids(error_codes=["ER0003"]) == [ids["crashed"], ids["user_error"]]
    assert await work.ids(error_codes=["ER0001"]) == [ids["timed_out"]]
    assert await work.ids(error_codes=["ER0000"]) == [ids["diverged"], ids["runner_lost"]]
    assert await work.ids(error_codes=["ER0000", "ER0002"]) == [
        ids["diverged"], ids["runner_lost"], ids["out_of_memory"],
    ]  # fmt: skip
    assert await work.ids(error_codes=["ER0003"], states=["created"]) == []


@pytest.mark.usefixtures("rows")
async def test_scheduled_at_is_when_it_was_to_start(work: Work) -> None:
    """Both ends included, each may be left out, and a time that is shown finds what shows it."""
    now = await work.add()
    late = await work.add(run_at=AT + 60 * SECOND)
    moved = await work.add((*CREATED, f.Rescheduled(n=2, at=AT, run_at=AT + 90 * SECOND)))
    shown = "2023-11-14T22:14:20.123Z"
    assert await work.ids(scheduled_at={"from": shown, "to": shown}) == [late]
    assert await work.ids(scheduled_at={"from": shown}) == [moved, late]
    assert await work.ids(scheduled_at={"to": shown}) == [late, now]
    assert await work.ids(scheduled_at={"to": "2023-11-14T22:14:20.122Z"}) == [now]
    assert await work.ids(scheduled_at={}) == [moved, late, now]


@pytest.mark.usefixtures("rows")
async def test_started_at_leaves_out_what_never_started(work: Work) -> None:
    """It is the start of the first attempt."""
    await work.add()
    started, failed = await work.add(STARTED), await work.add(FAILED)
    shown = "2023-11-14T22:13:21.123Z"
    assert await work.ids(started_at={"from": shown, "to": shown}) == [failed, started]
    assert await work.ids(started_at={"from": "2023-11-14T22:13:21.124Z"}) == []
    assert await work.ids(started_at={"from": "2023-11-14T22:13:21Z"}, states=["failed"]) == [failed]


@pytest.mark.usefixtures("rows")
async def test_executed_by_lists_children(work: Work) -> None:
    """Of the execution, by its own id or that of one of its attempts."""
    parent = await work.add()
    child = await work.add(parent_id=parent)
    for caller in (parent, f"{parent}-1", f"{parent}-7"):
        assert await work.ids(executed_by=caller) == [child]
    assert await work.ids(executed_by=child) == []
    assert await work.ids(executed_by="nobody") == []


@pytest.mark.usefixtures("rows")
async def test_metadata_is_and_over_entries_and_or_over_values(work: Work) -> None:
    """As the pages of one user's documents need it."""
    first = await work.add(metadata={"user": "u1", "type": "doc"})
    second = await work.add(metadata={"user": "u2", "type": "doc"})
    await work.add(metadata={"user": "u1", "type": "img"})
    document = {"key": "type", "values": ["doc"]}
    assert await work.ids(metadata=[document, {"key": "user", "values": ["u1"]}]) == [first]
    assert await work.ids(metadata=[document, {"key": "user", "values": ["u1", "u2"]}]) == [second, first]
    assert await work.ids(metadata=[document, {"key": "user", "values": []}]) == [second, first]
    assert await work.ids(metadata=[{"key": "user", "values": ["u3"]}]) == []


@pytest.mark.usefixtures("rows")
async def test_pages_are_stable_while_executions_arrive(work: Work) -> None:
    """Forwards nothing is repeated or left out; backwards what came meanwhile is found."""
    old = [await work.add() for _ in range(5)][::-1]
    first = await work.page({"first": 2})
    newest = await work.add()
    second = await work.page({"first": 2, "after": first["page_info"]["end_cursor"]})
    third = await work.page({"first": 2, "after": second["page_info"]["end_cursor"]})
    pages = [[each["id"] for each in page["data"]] for page in (first, second, third)]
    assert pages == [old[:2], old[2:4], old[4:]]
    assert [page["page_info"]["has_next_page"] for page in (first, second, third)] == [True, True, False]
    assert [page["page_info"]["has_prev_page"] for page in (first, second, third)] == [False, True, True]
    back = await work.page({"last": 2, "before": second["page_info"]["start_cursor"]})
    assert [each["id"] for each in back["data"]] == old[:2]
    assert back["page_info"]["has_prev_page"] is True
    head = await work.page({"last": 2, "before": back["page_info"]["start_cursor"]})
    assert [each["id"] for each in head["data"]] == [newest]
    assert [each["id"] for each in (await work.page({"last": 1}))["data"]] == old[4:]


@pytest.mark.usefixtures("rows")
async def test_a_walk_into_the_past_finds_the_same_from_both_ends(work: Work) -> None:
    """Times and pages together."""
    ids = [await work.add(run_at=AT + number * SECOND) for number in range(1, 7)]
    some = {"from": "2023-11-14T22:13:22.123Z", "to": "2023-11-14T22:13:25.123Z"}
    newest, oldest = await work.page({"first": 2}, scheduled_at=some), await work.page({"last": 2}, scheduled_at=some)
    assert [each["id"] for each in newest["data"]] == [ids[4], ids[3]]
    assert [each["id"] for each in oldest["data"]] == [ids[2], ids[1]]
    assert (newest["page_info"]["has_next_page"], oldest["page_info"]["has_prev_page"]) == (True, True)


async def test_an_empty_page_leaves_the_cursors_out(work: Work) -> None:
    """Neither null nor empty."""
    assert await work.page() == {"data": [], "page_info": {"has_next_page": False, "has_prev_page": False}}


@pytest.mark.parametrize(
    "body", [{"filters": {"states": ["done"]}}, {"page": {"first": -1}}, {"page": {"after": "?"}}, []]
)
async def test_what_is_malformed_is_a_400_in_defers_words(api: Api, body: Any) -> None:
    """Never an empty list; for attempts, too."""
    for path in (V2, f"{V2}/{'ab' * 16}/attempts"):
        answer = await api.client.post(path, json=body)
        assert (answer.status_code, answer.json()["error"]) == (400, "bad_request")
        assert answer.json()["message"].startswith("Invalid ")
        assert "/schema" not in answer.json()["message"]


async def test_a_view_that_lags_delays_a_list_by_a_moment_only(api: Api) -> None:
    """What it has is then listed; it is not an error."""
    await api.append(new_id(), CREATED)
    view = View(None, Progress(), api.log, None, None)
    await view.catch_up(0.01)
    assert view.progress.position == 0
