"""Every command against a running installation, for people and for programs."""

import json
import signal
import subprocess

from penstock_process import COMMAND, Penstock, until


def test_call_with_wait_prints_the_result(product: Penstock) -> None:
    """`penstock call add --wait` ends with the result."""
    done = product.run("call", "add", "--args", "[1, 2]", "--wait")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "3"


def test_call_with_wait_and_json_is_one_document(product: Penstock) -> None:
    """Programs get id, state and result, and nothing else on stdout."""
    answer = product.json("call", "add", "--kwargs", '{"a": 20, "b": 22}', "--wait")
    assert (answer["state"], answer["result"]) == ("succeeded", 42)


def test_a_failed_execution_ends_the_waiting_call_with_its_error(product: Penstock) -> None:
    """Code, message and exit code 1; no traceback of ours."""
    done = product.run("call", "fail", "--wait")
    assert done.returncode == 1
    assert "user_error" in done.stderr
    assert "out of luck" in done.stderr
    assert "libs/penstock" not in done.stderr


def test_a_wrong_argument_is_named(product: Penstock) -> None:
    """The problem's fields at fault reach the terminal."""
    done = product.run("call", "add", "--args", '[1, "two"]')
    assert done.returncode == 1
    assert done.stderr.startswith("invalid_arguments: ")


def test_an_unknown_function_is_answered_with_the_near_ones(product: Penstock) -> None:
    """A typing mistake is seen at once."""
    done = product.run("call", "ad", "--json")
    problem = json.loads(done.stderr)
    assert done.returncode == 1
    assert problem["code"] == "unknown_function"
    assert "add" in problem["detail"]


def test_bad_json_on_the_command_line_is_named_by_its_option(product: Penstock) -> None:
    """No request is sent for something that the shell already broke."""
    done = product.run("call", "add", "--args", "[1, 2")
    assert done.returncode == 1
    assert done.stderr.startswith("invalid_json: --args")


def test_trigger_starts_what_subscribes(product: Penstock) -> None:
    """The event's executions are found by the event's id."""
    event = product.json("trigger", "order.created", "--data", '{"total": 12}')
    listed = until(lambda: product.json("executions", "list", "--event", event["id"])["data"])
    assert [execution["function"] for execution in listed] == ["order"]


def test_the_same_event_id_is_taken_once(product: Penstock) -> None:
    """`--id` makes publishing repeatable."""
    events = [product.json("trigger", "order.created", "--data", '{"total": 1}', "--id", "o-1") for _ in range(2)]
    product.json("call", "add", "--args", "[0, 0]", "--wait")
    listed = until(lambda: product.json("executions", "list", "--event", events[0]["id"])["data"])
    assert len(listed) == 1
    assert events[0]["id"] == events[1]["id"]


def test_list_filters_by_state_function_and_metadata(product: Penstock) -> None:
    """Filters of the API are options of the command."""
    made = product.json("call", "add", "--args", "[1, 1]", "--metadata", "user=ada", "--wait")
    wanted = ("--state", "succeeded", "--function", "add", "--metadata", "user=ada")
    listed = product.json("executions", "list", *wanted)
    assert [execution["id"] for execution in listed["data"]] == [made["id"]]
    assert made["id"] in product.run("executions", "list", *wanted).stdout


def test_show_tells_the_whole_story(product: Penstock) -> None:
    """State, arguments, result, attempts, facts, and lines when asked for."""
    made = product.json("call", "add", "--args", "[2, 3]", "--wait")
    shown = until(lambda: _with_logs(product, made["id"]))
    assert shown["result"] == 5
    assert shown["arguments"]["args"] == [2, 3]
    assert [fact["kind"] for fact in shown["facts"]] == ["enqueued", "started", "succeeded"]
    assert [line["text"] for line in shown["logs"]] == ["adding"]
    text = product.run("executions", "show", made["id"]).stdout
    assert made["id"] in text
    assert "enqueued" in text


def test_a_delayed_execution_can_be_moved_and_cancelled(product: Penstock) -> None:
    """reschedule and cancel answer with the new state; what is over cannot be moved any more."""
    made = product.json("call", "add", "--args", "[1, 1]", "--delay", "1h")
    assert made["state"] == "scheduled"
    moved = product.json("executions", "reschedule", made["id"], "--delay", "2h")
    assert moved["state"] == "scheduled"
    assert product.json("executions", "cancel", made["id"])["state"] == "cancelled"
    refused = product.run("executions", "reschedule", made["id"])
    assert refused.returncode == 1
    assert refused.stderr.startswith("wrong_state: ")


def test_rerun_makes_a_new_execution(product: Penstock) -> None:
    """The new one says which it repeats."""
    made = product.json("call", "add", "--args", "[4, 4]", "--wait")
    again = product.json("executions", "rerun", made["id"])
    shown = until(lambda: _final(product, again["id"]))
    assert shown["rerun_of"] == made["id"]
    assert shown["result"] == 8


def test_tail_prints_changes_as_they_come(product: Penstock) -> None:
    """One JSON line per change, without end, until a signal."""
    with subprocess.Popen(
        [*COMMAND, "executions", "tail", "--function", "order", "--json"],
        cwd=product.folder,
        env=product.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as tail:
        assert tail.stdout is not None
        product.json("trigger", "order.created", "--data", '{"total": 99}')
        line = json.loads(tail.stdout.readline())
        tail.send_signal(signal.SIGINT)
        assert line["function"] == "order"
        assert tail.wait(10) == 130


def test_a_trigger_says_where_to_see_what_it_starts(product: Penstock) -> None:
    """The command that it names lists the executions of the event."""
    last = product.run("trigger", "order.created", "--data", '{"total": 3}').stdout.splitlines()[-1]
    assert last.startswith("what it starts: penstock executions list --event ")
    event = last.rpartition(" ")[2]
    until(lambda: product.json("executions", "list", "--event", event)["data"], 20)


def test_a_paused_function_is_seen_in_the_list(product: Penstock) -> None:
    """Below the table, until it is resumed."""
    assert product.run("functions", "pause", "work").returncode == 0
    try:
        assert "paused: work" in product.run("functions", "list").stdout
    finally:
        assert product.run("functions", "resume", "work").returncode == 0
    assert "paused" not in product.run("functions", "list").stdout


def test_a_wrong_target_of_a_limit_is_told_how_targets_are_written(product: Penstock) -> None:
    """There may be none in the list to learn from."""
    refused = product.run("limits", "set", "fn:add", "5")
    assert refused.returncode == 1
    assert "Write environment, function:NAME," in refused.stderr


def test_functions_are_listed_with_what_starts_them(product: Penstock) -> None:
    """The list shows the registry."""
    listed = product.json("functions", "list")["data"]
    assert {function["name"]: function["on"] for function in listed}["order"] == ["order.created"]
    assert "order.created" in product.run("functions", "list").stdout


def test_config_explains_every_setting_and_hides_secrets(product: Penstock) -> None:
    """Value, source, default and meaning of each; never the key."""
    product.environment["PENSTOCK_DATABASE_URL"] = ""
    environment = {**product.environment, "PENSTOCK_API_KEY": "pk_a-secret-of-mine"}
    done = subprocess.run([*COMMAND, "config", "--json"], env=environment, capture_output=True, text=True, check=True)
    rows = {row["variable"]: row for row in json.loads(done.stdout)["data"]}
    assert "pk_a-secret-of-mine" not in done.stdout
    assert rows["PENSTOCK_HTTP_PORT"]["source"] == "environment"
    assert rows["PENSTOCK_ENV"] == {**rows["PENSTOCK_ENV"], "value": "dev", "source": "default"}
    assert all(row["meaning"] for row in rows.values())


def test_doctor_finds_a_fresh_installation_well(product: Penstock) -> None:
    """All of its checks pass, and it says so with exit code 0."""
    report = product.json("doctor")
    assert report["ok"]
    wanted = {"settings", "permissions", "disk", "NATS server", "clock", "streams", "storage", "API", "view"}
    assert {line["check"] for line in report["data"]} == wanted


def test_doctor_names_a_key_that_others_can_read(product: Penstock) -> None:
    """A loose file is a failure with the command that closes it."""
    key = product.data / "api-key"
    key.chmod(0o644)
    try:
        done = product.run("doctor")
    finally:
        key.chmod(0o600)
    assert done.returncode == 1
    assert "chmod go-rwx" in done.stdout


def test_rebuild_proves_the_view_equal(product: Penstock) -> None:
    """Exit code 0 and the number of rows compared."""
    report = product.json("rebuild")
    assert report["equal"]
    assert report["tables"]["executions"]["live"] > 0


def test_without_a_server_each_command_says_what_to_do(product: Penstock) -> None:
    """Nothing answers: one sentence, one hint, exit code 1."""
    environment = {**product.environment, "PENSTOCK_URL": "http://127.0.0.1:9"}
    done = subprocess.run([*COMMAND, "functions", "list"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("unavailable: ")
    assert "penstock up" in done.stderr


def _with_logs(product: Penstock, execution_id: str) -> dict | None:
    shown = product.json("executions", "show", execution_id, "--logs")
    return shown if shown["logs"] and shown["state"] == "succeeded" else None


def _final(product: Penstock, execution_id: str) -> dict | None:
    shown = product.json("executions", "show", execution_id)
    return shown if shown["state"] == "succeeded" else None
