"""The published clients of Defer, both generations, against one Penstock: what their users do works as it did."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from npm_clients import SCENARIOS, install_clients, needs_npm, run_scenarios
from penstock_process import Penstock, penstock, until

pytestmark = [*needs_npm, pytest.mark.timeout(150)]

Answer = Callable[[str], Any]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each client, with the functions that both sides load."""
    home = tmp_path_factory.mktemp("clients")
    install_clients(home)
    return home


@pytest.fixture(scope="module")
def product(home: Path) -> Iterator[Penstock]:
    """A Penstock with these functions, and some in Python."""
    folder = home / "product"
    folder.mkdir()
    (folder / "apps.py").write_text((SCENARIOS / "app.py").read_text())
    with penstock(folder, "apps:app", "--node", str(home / "v2" / "defer"), PENSTOCK_SYNC_PROCESSES="3") as running:
        headers = {"Authorization": f"Bearer {key_of(running)}"}
        with httpx2.Client(base_url=running.environment["PENSTOCK_URL"], headers=headers) as api:
            until(lambda: {"add", "hello"} <= {each["name"] for each in api.get("/v1/functions").json()["data"]})
        yield running


def key_of(product: Penstock) -> str:
    return (product.data / "api-key").read_text().strip()


def answers_of(home: Path, product: Penstock, version: str) -> Answer:
    """What the scenarios of a version came to, by name; one that broke fails the test that asks for it."""
    answers = run_scenarios(home / version, product.environment["PENSTOCK_URL"], key_of(product))

    def read(name: str) -> Any:
        assert "error" not in answers[name], answers[name]["error"]
        return answers[name]["value"]

    return read


@pytest.fixture(scope="module")
def v1(home: Path, product: Penstock) -> Answer:
    """@defer/client 1.15.0."""
    return answers_of(home, product, "v1")


@pytest.fixture(scope="module")
def v2(home: Path, product: Penstock) -> Answer:
    """@defer/client 2.3.0."""
    return answers_of(home, product, "v2")


def is_a(error: dict[str, Any], name: str, message: str = "") -> bool:
    """True if this class was thrown with this message (a pattern)."""
    return error.get("name") == name and re.search(message, error["message"]) is not None


INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def test_a_call_answers_with_the_execution_that_was_made(v2: Answer) -> None:
    """All its members are there, and reading it at once gives the same one."""
    answer = v2("enqueue")
    made = answer["made"]
    assert (made["state"], made["functionName"], answer["result"]) == ("created", "hello", "Hello, Ada")
    assert all(INSTANT.fullmatch(made[field]) for field in ("createdAt", "updatedAt", "scheduledAt"))
    fixed = ("id", "functionId", "functionName", "createdAt")
    assert [answer["found"][field] for field in fixed] == [made[field] for field in fixed]


def test_a_function_may_be_python(v2: Answer) -> None:
    """The client knows only its name."""
    assert v2("python") == 3


def test_a_delay_is_a_duration_or_a_date(v2: Answer) -> None:
    """One that has passed means now."""
    answer = v2("delay")
    assert (answer["inAnHour"], answer["state"], answer["exact"]) == (True, "created", True)
    assert answer["past"] == "succeed"


def test_later_options_win_and_metadata_is_replaced(v2: Answer) -> None:
    """`assignOptions` on `assignOptions`; the older helpers do the same."""
    answer = v2("options")
    assert (answer["inAnHour"], answer["one"], answer["two"]) == (True, [True], [True])


def test_metadata_out_of_its_limits_is_refused(v2: Answer) -> None:
    """No text, empty, not ASCII, or too much of it."""
    assert all(is_a(error, "DeferError", 'responds with "400"') for error in v2("badMetadata"))


def test_what_did_not_start_in_time_is_discarded(v2: Answer) -> None:
    """It has no result, and says so."""
    answer = v2("discard")
    assert is_a(answer["result"], "ExecutionResultNotAvailable", "result is not available$")
    assert answer["old"] == "discarded"


def test_a_result_is_what_the_function_returned(v2: Answer) -> None:
    """Whatever JSON can say, values that count as false among it."""
    answer = v2("results")
    assert answer["got"] == answer["wanted"]


def test_large_arguments_and_results_come_through(v2: Answer) -> None:
    """A megabyte in, a megabyte out."""
    assert v2("large") is True


def test_a_function_without_a_result_has_null(v2: Answer) -> None:
    """It has succeeded."""
    assert v2("nothing") == {"result": None}


def test_a_missing_result_says_whether_it_may_still_come(v2: Answer) -> None:
    """Two classes of error."""
    answer = v2("noResult")
    for state in ("created", "started"):
        assert is_a(answer[state], "ExecutionResultNotAvailableYet")
    for state in ("cancelled", "aborted"):
        assert is_a(answer[state], "ExecutionResultNotAvailable")


def test_the_result_of_a_failure_is_its_error(v2: Answer) -> None:
    """With the four members that an error had."""
    answer = v2("failure")
    assert sorted(answer) == ["cause", "message", "name", "stack"]
    assert (answer["name"], answer["message"], answer["cause"]) == ("Error", "broken", None)
    assert "greetings.js" in answer["stack"]


def test_a_caller_may_wait_for_the_result(v2: Answer) -> None:
    """`awaitResult`."""
    assert v2("awaitResult") == "Hello, Ada"


def test_a_caller_who_waits_gets_the_error_of_the_function(v2: Answer) -> None:
    """Its message and its stack."""
    error = v2("awaitFailure")
    assert is_a(error, "DeferError", "^out of luck$")
    assert "greetings.js" in error["stack"]


def test_waiting_outlasts_the_retries(v2: Answer) -> None:
    """Failed attempts are not the end while others follow; the last of them is."""
    assert v2("awaitOverRetries") == "found"
    assert is_a(v2("awaitFailedRetries"), "DeferError", "^still broken$")


def test_waiting_ends_with_what_never_starts(v2: Answer) -> None:
    """The error names the state."""
    assert is_a(v2("awaitDiscarded"), "DeferError", 'was "discarded"$')


def test_what_has_not_started_is_cancelled_at_once(v2: Answer) -> None:
    """With and without force."""
    assert v2("cancelCreated") == ["cancelled", "cancelled"]


def test_what_has_started_is_aborted_only_by_force(v2: Answer) -> None:
    """Without it the state is named; with it the execution is aborting, and aborted soon."""
    answer = v2("cancelStarted")
    assert is_a(answer["refused"], "ExecutionNotCancellable", "started")
    assert answer["state"] == "aborting"


def test_a_second_abort_says_that_one_is_in_progress(v2: Answer) -> None:
    """With force; without it the execution cannot be cancelled."""
    answer = v2("cancelAborting")
    assert answer["first"] == "aborting"
    assert is_a(answer["again"], "ExecutionAbortingAlreadyInProgress")
    assert is_a(answer["gently"], "ExecutionNotCancellable", "aborting")


def test_what_has_ended_cannot_be_cancelled(v2: Answer) -> None:
    """Whatever the end was; the message names it."""
    answer = v2("cancelFinal")
    assert len(answer) == 5
    assert all(is_a(error, "ExecutionNotCancellable", state) for state, errors in answer.items() for error in errors)


def test_a_force_that_is_no_boolean_is_refused(v2: Answer) -> None:
    """Defer's own documentation had it wrong."""
    assert is_a(v2("cancelWithAnObject"), "DeferError", 'responds with "400"')


def test_a_start_is_moved_or_made_now(v2: Answer) -> None:
    """The execution follows, and stays the one that it was."""
    answer = v2("reschedule")
    assert answer == {"exact": [True, True], "updated": True, "created": True, "state": "created"}


def test_what_has_started_cannot_be_moved(v2: Answer) -> None:
    """Nor what has ended."""
    answer = v2("rescheduleTooLate")
    assert all(is_a(error, "ExecutionNotReschedulable", state) for state, error in answer.items())


def test_a_rerun_is_another_execution(v2: Answer) -> None:
    """From any state; it runs now, counts its own attempts, and leaves the first one alone."""
    for state, again in v2("rerun").items():
        assert again["isNew"], state
        assert (again["state"], again["attempts"], again["untouched"]) == ("created", 1, True)
        assert again["end"] == ("failed" if state == "failed" else "succeed")


def test_attempts_are_executions_of_their_own(v2: Answer) -> None:
    """Each has an id, a state and a result, and can be looked up by that id."""
    answer = v2("attempts")
    assert (answer["states"], answer["found"]) == (["failed", "failed"], ["failed", "failed"])
    assert answer["unlike"] == 3
    assert answer["messages"] == ["still broken", "still broken"]
    assert (answer["failed"], answer["none"], answer["tries"]) == (1, 0, 2)
    assert answer["single"] == ["created"]


def test_a_list_is_read_forwards_and_backwards(v2: Answer) -> None:
    """Newest first; what is made meanwhile moves nothing."""
    answer = v2("pages")
    assert answer["newest"] == [[5, 4], False, True]
    assert answer["middle"] == [[3, 2], True, True]
    assert answer["oldest"] == [[1], True, False]
    assert answer["back"] == [[3, 2], True, True]
    assert answer["front"][0] == [0, 5, 4]
    assert answer["tail"] == [[2, 1], True, False]
    assert answer["all"] == [0, 5, 4, 3, 2, 1]


def test_a_page_without_anything_has_no_cursors(v2: Answer) -> None:
    """And nothing before or after it."""
    none = v2("pages")["none"]
    assert none == {"pageInfo": {"hasPrevPage": False, "hasNextPage": False}, "data": []}


def test_a_negative_size_is_refused(v2: Answer) -> None:
    """As an error of the caller."""
    assert is_a(v2("pages")["negative"], "DeferError", 'responds with "400"')


def test_every_filter_finds_what_it_is_for(v2: Answer) -> None:
    """All of them count together; within one list any value will do."""
    answer = v2("filters")
    everything = ["aborted", "cancelled", "delayed", "failed", "good", "late"]
    assert (answer["all"], answer["empty"]) == (everything, everything)
    assert (answer["one"], answer["both"]) == (["good"], [])
    assert (answer["created"], answer["failed"]) == (["delayed"], ["failed", "good", "late"])
    assert (answer["cancelled"], answer["aborted"]) == (["cancelled"], ["aborted"])
    assert answer["functions"] == ["failed", "good"]
    assert (answer["threw"], answer["tooLong"]) == (["failed"], ["late"])
    assert (answer["later"], answer["until"]) == (["delayed"], ["failed", "late"])
    assert (answer["started"], answer["notStarted"]) == (["aborted", "failed", "good", "late"], [])


def test_an_unknown_state_is_no_filter(v2: Answer) -> None:
    """Better an error than an empty list."""
    assert is_a(v2("filters")["unknown"], "DeferError", 'responds with "400"')


def test_children_are_found_by_their_parent(v2: Answer) -> None:
    """`executedBy`, by its own id or that of its attempt."""
    assert v2("executedBy") == {"child": [True], "byAttempt": [True]}


def test_every_method_says_that_an_id_is_unknown(v2: Answer) -> None:
    """Whatever it looks like."""
    for identity, errors in v2("unknownIds").items():
        assert [error["name"] for error in errors] == ["ExecutionNotFound"] * 6, identity
        assert all(identity in error["message"] for error in errors if error["message"] != "undefined")


def test_an_unknown_function_is_named(v2: Answer) -> None:
    """In the words that Defer had."""
    assert is_a(v2("unknownFunction"), "DeferError", '"400" and message "cannot find function "nowhere""')


def test_a_cron_function_may_be_called(v2: Answer) -> None:
    """As any other."""
    assert v2("cron") == "tidy"


def test_a_wrong_token_is_refused(v2: Answer, v1: Answer) -> None:
    """For writing and for reading."""
    for name in ("wrongToken", "wrongTokenGet"):
        assert is_a(v2(name), "DeferError", 'responds with "401" and message "(?!undefined)')
    assert (v1("wrongToken")["name"], v1("wrongToken")["code"]) == ("APIError", "unauthorized")


def test_a_route_of_next_starts_and_follows(v2: Answer) -> None:
    """`asNextRoute`: the state, and a result once there is one."""
    answer = v2("nextRoute")
    assert (answer["good"]["status"], answer["good"]["state"], answer["good"]["result"]) == (
        200,
        "succeed",
        "Hello, Ada",
    )
    assert (answer["bad"]["state"], answer["bad"]["result"]["message"]) == ("failed", "broken")
    assert (answer["waiting"]["state"], "result" in answer["waiting"]) == ("created", False)
    assert answer["unknown"]["status"] == 500


def test_the_program_of_the_guide_runs_as_it_says(home: Path, product: Penstock) -> None:
    """The commands and the code of the guide, with the shipped example."""
    guide = (Path(__file__).parents[2] / "infra/migration.md").read_text()
    folder = home / "v2"
    (folder / "app.js").write_text(block(guide, "js"))
    (folder / ".penstock").mkdir()
    shutil.copy(product.data / "api-key", folder / ".penstock")
    commands = block(guide, "sh", "DEFER_TOKEN").replace(":8700", f":{product.http_port}")
    # The client pauses for up to 15 s between two looks.
    quick = {"PATH": os.environ["PATH"], "NODE_OPTIONS": f"--require {home / 'scenarios.cjs'}"}
    done = subprocess.run(["bash", "-c", commands], cwd=folder, env=quick, capture_output=True, text=True, timeout=50)
    assert "Dear Ada,\nwelcome aboard.\n" in done.stdout, done.stderr
    assert done.stdout.endswith("[ true ]\n")


def block(text: str, language: str, marker: str = "") -> str:
    """The only block of code in that language which has the marker in it."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (found,) = [each for each in blocks if marker in each]
    return str(found)


def test_the_older_client_starts_and_reads(v1: Answer) -> None:
    """Its answer is an id; the result is part of the execution."""
    answer = v1("enqueue")
    assert (answer["made"], answer["isSame"]) == (["id"], True)
    assert (answer["found"]["state"], answer["found"]["result"]) == ("succeed", "Hello, Ada")
    assert v1("results")["got"] == v1("results")["wanted"]


def test_the_older_client_has_options(v1: Answer) -> None:
    """Delay, metadata, discard."""
    assert v1("options") == {"state": "discarded", "hasResult": False}


def test_the_older_client_gets_errors_of_functions(v1: Answer) -> None:
    """As the result, and from `awaitResult`."""
    assert {"message", "stack"} <= v1("failure").keys()
    assert is_a(v1("awaitFailure"), "DeferError", "^out of luck$")


def test_the_older_client_waits_for_results(v1: Answer) -> None:
    """Over retries, too."""
    assert (v1("awaitResult"), v1("awaitOverRetries")) == ("Hello, Ada", "found")


def test_the_older_client_cancels(v1: Answer) -> None:
    """By force what has started; a refusal carries its code."""
    answer = v1("cancel")
    assert (answer["plain"], answer["state"], answer["forced"], answer["end"]) == (True, "cancelled", True, "aborted")
    assert [(answer[name]["name"], answer[name]["code"]) for name in ("refused", "again")] == [
        ("APIError", "conflict")
    ] * 2


def test_the_older_client_reschedules(v1: Answer) -> None:
    """Until it has started."""
    answer = v1("reschedule")
    assert (answer["state"], answer["result"]) == ("created", "Hello, x")
    assert (answer["tooLate"]["name"], answer["tooLate"]["code"]) == ("APIError", "conflict")


def test_the_older_client_lists_tries(v1: Answer) -> None:
    """Each with an id of its own."""
    answer = v1("tries")
    assert answer["tries"] == [[["id", "state"], "failed"]] * 2
    assert answer["messages"] == ["still broken"] * 2


def test_the_older_client_hears_what_is_unknown(v1: Answer) -> None:
    """An execution, or a function."""
    answer = v1("unknown")
    assert [(error["name"], error["code"]) for error in answer["ids"]] == [("APIError", "not_found")] * 4
    assert is_a(answer["function"], "APIError", 'cannot find function "nowhere"')


def test_the_older_client_has_routes_of_next(v1: Answer) -> None:
    """`asNextRoute` again."""
    answer = v1("nextRoute")
    assert (answer["state"], answer["result"]) == ("succeed", "Hello, Ada")
