"""Flow control end to end: real processes, HTTP and the command line."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from penstock_process import Penstock, penstock, until

APP = """
import asyncio
from typing import Any
from penstock import App, Batch, Context, Debounce, Event, Fixed, RateLimit

app = App("flow")


@app.function(concurrency=10)
async def a(seconds: float) -> None:
    await asyncio.sleep(seconds)


@app.function(concurrency=10)
async def b(seconds: float) -> None:
    await asyncio.sleep(seconds)


@app.function(concurrency=10)
async def c(seconds: float) -> None:
    await asyncio.sleep(seconds)


@app.function(concurrency=1, concurrency_key="args[0]")
async def keyed(key: Any, seconds: float) -> None:
    await asyncio.sleep(seconds)


@app.function(fifo=True, retries=1, backoff=Fixed(delay="1s"))
async def strict(ctx: Context, number: int) -> int:
    if number == 1 and ctx.attempt == 1:
        raise ValueError("not yet")
    return number


@app.function(rate_limit=RateLimit(1, "1h"))
async def rare() -> None:
    pass


@app.function(debounce=Debounce("400ms", max_delay="20s", key="args[0]"))
async def index(page: str, version: int) -> int:
    return version


@app.function(singleton="attach", singleton_key="args[0]")
async def report(user: str, seconds: float) -> str:
    await asyncio.sleep(seconds)
    if user == "nobody":
        raise ValueError("there is no such user")
    return f"report for {user}"


@app.function(singleton="drop")
async def sweep(seconds: float) -> None:
    await asyncio.sleep(seconds)


@app.function(batch=Batch(3, "500ms", key="args[0].folder"))
async def resize(pictures: list[dict]) -> list[str]:
    return [f"{each['name']} with {len(pictures)}" for each in pictures]


@app.function(batch=Batch(2, "20s"))
def careless(items: list[int]) -> list[int]:
    return items[1:]


@app.function(on="picture.seen", batch=Batch(2, "20s", key="event.data.folder"))
async def seen(ctx: Context, events: list[Event]) -> list[str]:
    return [f"{ctx.function} {each.data['name']}" for each in events]


@app.function(batch=Batch(2, "20s"))
async def large(texts: list[str]) -> list[str]:
    return [each * 2 for each in texts]


@app.function(on="order.paid", concurrency=2, concurrency_key="event.data.customer.id")
async def paid(event: Event) -> None:
    pass
"""


KEY = "flow-control-tests-key-0123456789"


class Product:
    """A running product and plain HTTP to it."""

    def __init__(self, running: Penstock) -> None:
        self.running = running
        self.client = httpx2.Client(
            base_url=f"http://127.0.0.1:{running.http_port}", headers={"Authorization": f"Bearer {KEY}"}, timeout=30
        )

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        answer = self.client.request(method, path, json=body)
        return answer.status_code, answer.json()

    def good(self, method: str, path: str, body: Any = None) -> Any:
        status, answer = self.send(method, path, body)
        assert status < 300, answer
        return answer

    def call(self, function: str, *args: Any) -> str:
        answer = self.good("POST", f"/v1/functions/{function}/executions", {"args": list(args)})
        return str(answer["id"])

    def many(self, function: str, count: int, *args: Any) -> list[str]:
        body = {"items": [{"args": list(args)}] * count}
        answer = self.good("POST", f"/v1/functions/{function}/executions/batch", body)
        return [each["id"] for each in answer["data"]]

    def execution(self, execution_id: str) -> Any:
        return self.good("GET", f"/v1/executions/{execution_id}")

    def why(self, execution_id: str) -> Any:
        return self.good("GET", f"/v1/executions/{execution_id}/why")

    def is_state(self, execution_id: str, state: str) -> bool:
        return bool(self.execution(execution_id)["state"] == state)

    def held(self) -> Counter[str]:
        """Function -> running executions."""
        page = self.good("GET", "/v1/executions?state=running&limit=500")["data"]
        return Counter(each["function"] for each in page)


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """`penstock up` with functions under flow control."""
    folder = tmp_path_factory.mktemp("flow")
    (folder / "controlled.py").write_text(APP, encoding="utf-8")
    with penstock(folder, "controlled:app", PENSTOCK_API_KEY=KEY) as running:
        yield Product(running)


def test_two_functions_share_the_environment_evenly_and_a_third_gets_its_part(product: Product) -> None:
    """Two functions of 10 under a limit of 10 run 5 and 5; a third joins; there are never more than 10."""
    product.good("PUT", "/v1/limits/environment", {"limit": 10, "author": "test"})
    try:
        ids = product.many("a", 30, 1.0) + product.many("b", 30, 1.0)
        until(lambda: product.held() == {"a": 5, "b": 5})
        late = product.many("c", 20, 1.0)
        seen: set[tuple[tuple[str, int], ...]] = set()

        def is_shared() -> bool:
            held = product.held()
            assert held.total() <= 10
            seen.add(tuple(sorted(held.items())))
            return len(held) == 3 and max(held.values()) <= 4

        until(is_shared)
        for each in ids + late:
            until(lambda each=each: product.is_state(each, "succeeded"), within=40)  # type: ignore[misc]
    finally:
        product.good("PUT", "/v1/limits/environment", {"limit": None, "author": "test"})
    assert len(seen) > 1


def test_one_key_runs_alone_and_why_tells_who_holds_it(product: Product) -> None:
    """Of one key one runs at a time; the other is told by whom it is held up, by HTTP and on the command line."""
    calls = (("ann", 5.0), ("ann", 0.0), ("bob", 5.0))
    first, second, other = (product.call("keyed", *call) for call in calls)
    until(lambda: product.is_state(first, "running") and product.is_state(other, "running"))
    answer = product.why(second)
    assert (answer["rule"], answer["holders"], answer["position"]) == ("concurrency", [first], 1)
    assert answer["key"] == "ann"
    assert product.why(first)["rule"] == "running"
    assert first in product.running.run("executions", "why", second).stdout
    until(lambda: product.is_state(second, "succeeded"))
    assert product.execution(second)["started_at"] >= product.execution(first)["finished_at"]
    assert product.why(second)["rule"] == "final"


def test_strict_order_survives_a_retry(product: Product) -> None:
    """With fifo the second starts after the retry of the first has succeeded."""
    first, second = product.call("strict", 1), product.call("strict", 2)
    until(lambda: product.is_state(first, "retrying"))
    assert product.why(first)["rule"] == "retrying"
    assert product.why(second)["rule"] == "concurrency"
    until(lambda: product.is_state(second, "succeeded"))
    assert product.execution(second)["started_at"] >= product.execution(first)["finished_at"]


def test_a_rate_limit_discards_and_says_so(product: Product) -> None:
    """The second within the period is discarded, with the limit named in its error."""
    first, second = product.call("rare"), product.call("rare")
    until(lambda: product.is_state(first, "succeeded") and product.is_state(second, "discarded"))
    error = product.execution(second)["error"]
    assert error["code"] == "discarded"
    assert "rate limit of rare" in error["message"]


def results(product: Product, ids: list[str]) -> list[Any]:
    for each in ids:
        until(lambda each=each: product.is_state(each, "succeeded"))  # type: ignore[misc]
    return [product.good("GET", f"/v1/executions/{each}/result") for each in ids]


def facts(product: Product, execution_id: str, kind: str) -> list[Any]:
    page = product.good("GET", f"/v1/executions/{execution_id}/facts")["data"]
    return [each["fact"] for each in page if each["kind"] == kind]


def test_a_burst_runs_once_with_the_newest_arguments_and_answers_everybody(product: Product) -> None:
    """Merged triggers are listed by the one that ran, have its result, and tell nobody that they were discarded."""
    *merged, newest = [product.call("index", "home", version) for version in range(4)]
    other = product.call("index", "about", 7)
    answer = product.why(merged[0])
    assert (answer["rule"], answer["key"]) in (("debounce", "home"), ("following", None))
    assert results(product, [*merged, newest, other]) == [3, 3, 3, 3, 7]
    assert [fact["followers"] for fact in facts(product, newest, "followed")] == [merged]
    assert [fact["leader"] for each in merged for fact in facts(product, each, "joined")] == [newest] * 3
    assert product.execution(merged[0])["attempt"] == 0
    assert product.why(other)["rule"] == "final"


def test_a_second_call_follows_the_first_and_gets_its_result_or_its_error(product: Product) -> None:
    """While one of a key is unfinished the others attach to it; `why` names it."""
    first, second, other = (product.call("report", user, 2.0) for user in ("ann", "ann", "bob"))
    until(lambda: product.is_state(second, "waiting"))
    answer = product.why(second)
    assert (answer["rule"], answer["holders"]) == ("following", [first])
    gone = product.call("report", "ann", 0.0)
    until(lambda: product.is_state(gone, "waiting"))
    product.good("POST", f"/v1/executions/{gone}/cancel", {})
    status, refusal = product.send("POST", f"/v1/executions/{second}/reschedule", {})
    assert (status, refusal["code"], refusal["state"]) == (409, "wrong_state", "waiting")
    assert results(product, [first, second, other]) == ["report for ann", "report for ann", "report for bob"]
    until(lambda: product.is_state(gone, "cancelled"))
    failing = [product.call("report", "nobody", 0.5) for _ in range(2)]
    for each in failing:
        error = until(lambda each=each: product.execution(each)["error"])  # type: ignore[misc]
        assert error["message"] == "there is no such user"


def test_a_second_one_is_dropped_with_the_reason(product: Product) -> None:
    """With `singleton="drop"` it is discarded, and names the execution that had not ended."""
    first = product.call("sweep", 1.0)
    second = product.call("sweep", 1.0)
    error = until(lambda: product.execution(second)["error"])
    assert (error["code"], first in error["message"]) == ("discarded", True)
    until(lambda: product.is_state(first, "succeeded"))


def test_a_batch_gives_each_caller_its_own_result(product: Product) -> None:
    """A full batch starts at once, a rest of one after its wait; each key has its own."""
    calls = [("a", "1"), ("b", "2"), ("a", "3"), ("a", "4"), ("b", "5")]
    ids = [product.call("resize", {"folder": folder, "name": name}) for folder, name in calls]
    found = results(product, ids)
    assert found == ["1 with 3", "2 with 2", "3 with 3", "4 with 3", "5 with 2"]
    joined = facts(product, ids[2], "joined")[0]
    assert (joined["reason"], joined["index"]) == ("batch", 1)
    batch = joined["leader"]
    assert product.good("GET", f"/v1/executions/{batch}/arguments")["members"] == [ids[0], ids[2], ids[3]]
    assert product.execution(batch)["trace_id"] == batch
    again = product.good("POST", f"/v1/executions/{batch}/rerun", {})["id"]
    assert results(product, [again]) == [["1 with 3", "3 with 3", "4 with 3"]]


def test_events_are_collected_too(product: Product) -> None:
    """A function that takes a list of events gets those of a batch, and none without one."""
    for name in ("x", "y"):
        product.good("POST", "/v1/events", {"name": "picture.seen", "data": {"folder": "f", "name": name}})

    def listed() -> list[str]:
        page = product.good("GET", "/v1/executions?function=seen&state=succeeded")["data"]
        return [each["id"] for each in page if each["event_id"]]

    until(lambda: len(listed()) == 2)
    assert sorted(results(product, listed())) == ["seen x", "seen y"]
    status, refusal = product.send("POST", "/v1/functions/seen/executions", {})
    assert (status, refusal["code"]) == (422, "invalid_arguments")


def test_large_arguments_and_results_of_a_batch_go_by_reference(product: Product) -> None:
    """What is too large for a fact is fetched for the batch, and each member gets its own large part."""
    texts = ["a" * 200_000, "b" * 300_000]
    assert results(product, [product.call("large", each) for each in texts]) == [each * 2 for each in texts]


def test_a_result_that_does_not_fit_fails_every_member(product: Product) -> None:
    """With a code and a sentence of its own, and each is told of as one that failed."""
    ids = [product.call("careless", number) for number in range(2)]
    for each in ids:
        error = until(lambda each=each: product.execution(each)["error"])  # type: ignore[misc]
        assert error["code"] == "batch_mismatch"
        assert "1 elements, and the batch 2 items" in error["message"]


def test_pausing_keeps_everything(product: Product) -> None:
    """A paused function starts nothing, gated or not, and everything starts after the resume."""
    running = product.running
    for function, args in (("keyed", ("eve", 0.0)), ("a", (0.0,))):
        assert running.run("functions", "pause", function).returncode == 0
        if function == "a":
            # Its consumer is paused a moment later.
            until(lambda: product.why(product.call("a", 0.0))["rule"] == "function_paused")
        kept = product.call(function, *args)
        until(lambda kept=kept: product.why(kept)["rule"] == "function_paused")  # type: ignore[misc]
        assert product.is_state(kept, "queued")
        assert running.run("functions", "resume", function).returncode == 0
        until(lambda kept=kept: product.is_state(kept, "succeeded"))  # type: ignore[misc]


def test_a_limit_changes_at_run_time(product: Product) -> None:
    """`penstock limits set` lets more run at once, and `limits list` shows what was declared and what holds."""
    ids = [product.call("keyed", "zoe", 1.0) for _ in range(3)]
    product.running.run("limits", "set", "function:keyed", "3")
    until(lambda: all(product.execution(each)["state"] in ("running", "succeeded") for each in ids))
    limits = product.running.json("limits", "list")["limits"]
    found = next(each for each in limits if each["target"] == "function:keyed")
    assert (found["limit"], found["declared"], found["changed"]) == (3, 1, 3)
    product.running.run("limits", "set", "function:keyed", "default")


def test_a_key_that_fails_on_the_event_is_listed_with_the_reason(product: Product) -> None:
    """The event is listed as matched, with the function that refused it and why."""
    product.good("POST", "/v1/events", {"name": "order.paid", "data": {"total": 1}})

    def listed() -> Any:
        events = product.good("GET", "/v1/events")["data"]
        return next((each for each in events if each["name"] == "order.paid"), None)

    event = until(listed)
    assert "concurrency of paid" in str(event["refused"])


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/v1/functions/keyed/executions", {"args": [{"no": "key"}, 1.0]}, 422, "invalid_arguments"),
        ("PUT", "/v1/limits/environment", {"limit": 0}, 422, "invalid_option"),
        ("PUT", "/v1/limits/environment", {"limit": -5}, 422, "invalid_option"),
        ("PUT", "/v1/limits/environment", {}, 422, "invalid_option"),
        ("PUT", "/v1/limits/environment", {"limit": 10**9}, 422, "invalid_option"),
        ("PUT", "/v1/limits/functions/nobody", {"limit": 1}, 404, "unknown_function"),
        ("PUT", "/v1/limits/throttles/keyed", {"limit": 1}, 422, "invalid_option"),
        ("PUT", "/v1/limits/wrong/keyed", {"limit": 1}, 404, "unknown_route"),
        ("POST", "/v1/functions/nobody/pause", {}, 404, "unknown_function"),
        ("POST", "/v1/functions/a/pause", {"key": "x"}, 422, "invalid_option"),
        ("POST", "/v1/functions/careless/executions", {"args": ["one"]}, 422, "invalid_arguments"),
        ("POST", "/v1/functions/careless/executions", {"args": [1, 2]}, 422, "invalid_arguments"),
        ("POST", "/v1/functions/careless/executions", {"args": [1], "options": {"retries": 1}}, 422, "invalid_option"),
        ("GET", f"/v1/executions/{'1' * 32}/why", None, 404, "unknown_execution"),
    ],
)
def test_what_makes_no_sense_is_refused(
    product: Product, method: str, path: str, body: Any, status: int, code: str
) -> None:
    """Bad input of flow control has its status and code."""
    found, answer = product.send(method, path, body)
    assert (found, answer["code"]) == (status, code)
