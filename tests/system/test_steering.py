"""What people see and press while a function waits: commands and addresses against a running installation."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock import Client, ExecutionFailed, PenstockError
from penstock_process import Penstock, penstock, until

DURABLE_APP = """
import os
import time
from penstock import App, Context

app = App("durable")


def note(folder: str, word: str) -> str:
    with open(os.path.join(folder, "notes"), "a") as file:
        file.write(word + chr(10))
    return word


@app.function
async def approve(ctx: Context, folder: str) -> dict:
    draft = await ctx.step("draft", note, folder, "draft")
    await ctx.progress(1, 3, "asked the boss")
    answer = await ctx.wait_for_token(await ctx.create_token("boss"), timeout="1h")
    word = await ctx.receive("notes", timeout="1h")
    sent = await ctx.step("send", note, folder, "send")
    return {"draft": draft, "answer": answer, "word": word, "sent": sent, "attempt": ctx.attempt}


@app.function(pause_on_failure=True)
def fragile(ctx: Context, folder: str) -> str:
    ctx.step("first", note, folder, "first")
    if not os.path.exists(os.path.join(folder, "mended")):
        raise RuntimeError("broken pipe")
    return "done"


@app.function
async def chain(ctx: Context, folder: str) -> str:
    await ctx.step("one", note, folder, "one")
    await ctx.step("two", note, folder, "two")
    return await ctx.step("three", note, folder, "three")



@app.function
async def listen(ctx: Context, folder: str) -> dict:
    return await ctx.receive(timeout="1h")


@app.function
async def steer(folder: str) -> list:
    listening, first = await listen.enqueue(folder), await chain.enqueue(folder)
    await listening.send({"from": "inside"})
    await first.result(timeout="30s")
    again = await first.rerun(from_step="two")
    await again.result(timeout="30s")
    return [await listening.result(timeout="30s"), again.id]


@app.function
def mend(folder: str) -> str:
    paused = fragile.enqueue(folder)
    while paused.state() != "waiting":
        time.sleep(0.02)
    with open(os.path.join(folder, "mended"), "w"):
        paused.resume()
    return paused.result(timeout="30s")
"""


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Penstock]:
    """One installation for all tests here."""
    folder = tmp_path_factory.mktemp("durable")
    (folder / "durable.py").write_text(DURABLE_APP, encoding="utf-8")
    with penstock(folder, "durable:app") as running:
        yield running


def ask(product: Penstock, path: str, body: Any = None) -> Any:
    """The API, which answers sooner than a command starts."""
    key = (product.data / "api-key").read_text(encoding="utf-8").strip()
    request = urllib.request.Request(
        product.environment["PENSTOCK_URL"] + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def call(product: Penstock, function: str, folder: Path) -> str:
    return str(ask(product, f"/v1/functions/{function}/executions", {"args": [str(folder)]})["id"])


def reached(product: Penstock, execution_id: str, state: str) -> dict[str, Any]:
    """The execution once it is in this state."""

    def look() -> Any:
        found = ask(product, f"/v1/executions/{execution_id}")
        return found if found["state"] == state else None

    return dict(until(look))


def waits(product: Penstock, execution_id: str, kind: str) -> dict[str, Any]:
    """Its open wait, once that is one of this kind."""

    def look() -> Any:
        found = ask(product, f"/v1/executions/{execution_id}/why")["waits"]
        return found[0] if [wait["kind"] for wait in found] == [kind] else None

    return dict(until(look))


def steps(product: Penstock, execution_id: str) -> list[Any]:
    return list(ask(product, f"/v1/executions/{execution_id}/steps")["data"])


def notes(folder: Path) -> list[str]:
    return (folder / "notes").read_text(encoding="utf-8").split()


def test_a_function_that_waits_is_answered_from_outside(product: Penstock, tmp_path: Path) -> None:
    """`why` tells the token, `tokens complete` uses it, `executions send` sends the message, and it goes on."""
    execution_id = call(product, "approve", tmp_path)
    wait = waits(product, execution_id, "token")
    assert reached(product, execution_id, "waiting")["progress"]["note"] == "asked the boss"
    words = product.run("executions", "why", execution_id).stdout
    assert wait["token"] in words
    assert "Somebody uses the token" in words
    done = product.json("tokens", "complete", f"http://anywhere/v1/tokens/{wait['token']}", "--result", '{"ok": true}')
    assert (done["id"], done["outcome"]) == (execution_id, "completed")
    assert waits(product, execution_id, "message")["name"] == "notes"
    product.json("executions", "send", execution_id, "--channel", "notes", "--data", '"go"', "--id", "m1")
    reached(product, execution_id, "succeeded")
    ended = product.json("executions", "show", execution_id)
    assert ended["result"] == {"draft": "draft", "answer": {"ok": True}, "word": "go", "sent": "send", "attempt": 1}
    assert [attempt["attempt"] for attempt in ended["attempts"]] == [1]
    assert [step["kind"] for step in ended["steps"]] == ["step", "token", "message", "step"]
    assert notes(tmp_path) == ["draft", "send"]


def test_show_is_readable_while_it_waits(product: Penstock, tmp_path: Path) -> None:
    """Progress, steps and what is waited for."""
    execution_id = call(product, "approve", tmp_path)
    waits(product, execution_id, "token")
    shown = product.run("executions", "show", execution_id).stdout
    assert "1 of 3: asked the boss" in shown
    line = next(line for line in shown.splitlines() if line.startswith("token~boss"))
    assert "waiting" in line
    assert "until 20" in line
    lines = product.run("executions", "tail", "--function", "approve", "--state", "waiting", "--limit", "1").stdout
    assert "1 of 3: asked the boss" in lines


def test_a_browser_answers_without_a_key(product: Penstock, tmp_path: Path) -> None:
    """A plain POST to the token's address, refused with a reason, ends the execution with it."""
    execution_id = call(product, "approve", tmp_path)
    wait = waits(product, execution_id, "token")
    request = urllib.request.Request(
        f"{product.environment['PENSTOCK_URL']}/v1/tokens/{wait['token']}",
        data=b'{"error": {"message": "too expensive"}}',
        headers={"Content-Type": "application/json", "Origin": "https://shop.example"},
    )
    with urllib.request.urlopen(request) as answer:
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (202, "*")
    assert "too expensive" in reached(product, execution_id, "failed")["error"]["message"]


def test_a_paused_execution_is_mended_and_resumed(product: Penstock, tmp_path: Path) -> None:
    """Its finished step does not run again."""
    execution_id = call(product, "fragile", tmp_path)
    reached(product, execution_id, "waiting")
    said = ask(product, f"/v1/executions/{execution_id}/why")
    assert "broken pipe" in said["detail"]
    assert f"penstock executions resume {execution_id}" in said["starts_when"]
    (tmp_path / "mended").touch()
    product.json("executions", "resume", execution_id)
    reached(product, execution_id, "succeeded")
    attempts = ask(product, f"/v1/executions/{execution_id}/attempts")["data"]
    assert [(attempt["attempt"], attempt["state"]) for attempt in attempts] == [(1, "failed"), (2, "succeeded")]
    assert notes(tmp_path) == ["first"]
    again = product.run("executions", "resume", execution_id)
    assert (again.returncode, again.stderr.startswith("wrong_state: ")) == (1, True)


def test_a_rerun_from_a_step_does_not_repeat_what_came_before(product: Penstock, tmp_path: Path) -> None:
    """The new execution shows what it took over; a wrong name is answered with the right ones."""
    execution_id = call(product, "chain", tmp_path)
    reached(product, execution_id, "succeeded")
    made = product.json("executions", "rerun", execution_id, "--from-step", "three")
    ended = reached(product, made["id"], "succeeded")
    assert (ended["rerun_of"], ended["restarted_from"]) == (execution_id, "three")
    assert [(step["step"], step["inherited"]) for step in steps(product, made["id"])] == [
        ("one", True), ("two", True), ("three", False),
    ]  # fmt: skip
    assert notes(tmp_path) == ["one", "two", "three", "three"]
    wrong = product.run("executions", "rerun", execution_id, "--from-step", "tree")
    assert wrong.returncode == 1
    assert "one, two, three" in wrong.stderr


def test_a_running_function_steers_others(product: Penstock, tmp_path: Path) -> None:
    """By their handles: a message and a restart from an `async def`, a resume from a plain `def`."""
    steering, mending = call(product, "steer", tmp_path), call(product, "mend", tmp_path)
    reached(product, steering, "succeeded")
    received, again = ask(product, f"/v1/executions/{steering}/result")
    assert received == {"from": "inside"}
    assert ask(product, f"/v1/executions/{again}")["restarted_from"] == "two"
    reached(product, mending, "succeeded")


async def test_python_programs_answer_and_steer(product: Penstock, tmp_path: Path) -> None:
    """The client uses tokens by id and by address; handles send, and refuse what the state forbids."""
    key = (product.data / "api-key").read_text(encoding="utf-8").strip()
    good, bad = (call(product, "approve", tmp_path) for _ in range(2))
    async with Client(product.environment["PENSTOCK_URL"], key) as client:
        await client.complete_token(waits(product, good, "token")["token"], {"ok": 1})
        url = f"http://anywhere/v1/tokens/{waits(product, bad, 'token')['token']}"
        await client.reject_token(url, "not like this")
        with pytest.raises(ExecutionFailed, match="not like this"):
            await client.execution(bad).result(timeout="20s")
        with pytest.raises(PenstockError) as refused:
            await client.complete_token(url, 1)
        assert refused.value.code == "wrong_state"
        assert await client.execution(good).send("go", channel="notes", id="m1") == "m1"
        assert (await client.execution(good).result(timeout="20s"))["word"] == "go"
        with pytest.raises(PenstockError) as refused:
            await client.execution(good).resume()
        assert refused.value.code == "wrong_state"
        again = await client.execution(good).rerun(from_step="send")
        assert (await again.result(timeout="20s"))["answer"] == {"ok": 1}


def test_a_token_that_is_none_is_refused_by_name(product: Penstock) -> None:
    """With what to do."""
    done = product.run("tokens", "reject", "pt_nothing", "--message", "no")
    assert (done.returncode, done.stderr.startswith("unknown_token: ")) == (1, True)
    assert "PENSTOCK_SIGNING_KEY" in done.stderr
