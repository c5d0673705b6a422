"""Functions that are URLs or commands: how they are declared, and what is refused."""

from typing import Any

import msgspec
import pytest

from penstock import App
from penstock.domain.errors import Rejected
from penstock.domain.function.options import FunctionSpec
from penstock.domain.function.target import CommandTarget, HttpTarget
from penstock.domain.limits import command_chars_max, command_words_max, url_chars_max

URL = "https://example.com/f"


def test_a_url_is_declared_with_the_ordinary_options() -> None:
    """It is in the registry as any function, with the name of its secret."""
    app = App("shop", retries=2, memory="64MB")
    app.http("resize", URL, secret_env="RESIZE", timeout="10s", on="picture.*", when="event.data.n > 1", concurrency=3)
    (spec,) = app.specs()
    assert spec.target == HttpTarget(url=URL, secret_env="RESIZE")
    assert (spec.policy.retries, spec.timeout, spec.on, spec.concurrency) == (2, 10.0, ["picture.*"], 3)
    assert spec.memory is None


def test_a_command_is_declared_with_the_ordinary_options() -> None:
    """Its words are kept as they are."""
    app = App("shop")
    app.command("thumb", ["./thumb", "--size", "a b"], memory="64MB", description="Makes it small.")
    (spec,) = app.specs()
    assert spec.target == CommandTarget(command=["./thumb", "--size", "a b"])
    assert (spec.memory, spec.description) == (64_000_000, "Makes it small.")


def test_both_may_start_by_the_clock() -> None:
    """With the options of `@app.cron`."""
    app = App("shop")
    app.http("poll", URL, secret_env="S", every="10m")
    app.command("sweep", ["sweep"], cron="0 8 * * *", timezone="Europe/Paris")
    rules = {key: spec.rule for key, spec in app.schedules().items()}
    assert (rules["poll"].every, rules["sweep"].timezone) == (600_000_000, "Europe/Paris")


def test_a_declaration_survives_the_log() -> None:
    """Target and all; one of before has none."""
    app = App("shop")
    app.http("resize", URL, secret_file="~/secret")
    (spec,) = app.specs()
    assert msgspec.json.decode(msgspec.json.encode(spec), type=FunctionSpec) == spec
    assert msgspec.json.decode(b'{"name": "old"}', type=FunctionSpec).target is None


def test_it_cannot_be_called_in_python() -> None:
    """The error says what to do instead."""
    resize = App("shop").http("resize", URL, secret_env="S")
    with pytest.raises(TypeError, match=r"resize does not run in Python; .* \.enqueue"):
        resize(1, width=2)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("", "visible ASCII"),
        ("example.com/f", "must begin with https://"),
        ("ftp://example.com", "not with 'ftp'"),
        ("https:///f", "names no host"),
        ("https://me:hunter2@example.com", "holds credentials"),
        ("https://example.com/#top", "fragment"),
        ("https://example.com:0x50/", "no URL"),
        ("https://example.com:65536/", "no URL"),
        ("https://exa mple.com/", "visible ASCII"),
        ("https://häuser.example/", "xn--"),
        ("https://example.com/\r\nX: y", "visible ASCII"),
        ("https://[::1/", "no URL"),
        (URL + "x" * url_chars_max, "longer than 2048"),
    ],
)
def test_a_bad_url_is_refused_when_the_module_is_imported(url: str, complaint: str) -> None:
    """The sentence says what is wrong, and never repeats a password."""
    with pytest.raises(Rejected, match=complaint) as caught:
        App("shop").http("f", url, secret_env="S")
    assert "hunter2" not in caught.value.detail


def test_a_url_at_the_limit_is_taken() -> None:
    """The longest that is."""
    App("shop").http("f", URL + "x" * (url_chars_max - len(URL)), secret_env="S")


@pytest.mark.parametrize("given", [{}, {"secret_env": "A", "secret_file": "b"}, {"secret_env": "A B"}])
def test_a_url_needs_one_place_for_its_secret(given: dict[str, str]) -> None:
    """A variable or a file; the secret itself is not taken for one by mistake."""
    with pytest.raises(Rejected, match=r"secret_env"):
        App("shop").http("f", URL, **given)


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ([], "is empty"),
        ([" "], "is empty"),
        ("ls -l", "must be a list of words"),
        (["ls", 1], "is int, not str"),
        (["ls", "a\0b"], "NUL"),
        (["ls"] * (command_words_max + 1), "more than"),
        (["ls", "x" * command_chars_max], "more than"),
    ],
)
def test_a_bad_command_is_refused_when_the_module_is_imported(command: Any, complaint: str) -> None:
    """Above all a line for a shell: there is none."""
    with pytest.raises(Rejected, match=complaint):
        App("shop").command("f", command)


def test_a_command_at_the_limits_is_taken() -> None:
    """As many words and letters as there may be."""
    words = ["l"] * (command_words_max - 1)
    App("shop").command("f", [*words, "x" * (command_chars_max - len(words))])


@pytest.mark.parametrize(
    "declare",
    [
        lambda app: app.http("f", URL, secret_env="S", memory="64MB"),
        lambda app: app.http("f", URL, secret_env="S", retires=3),
        lambda app: app.command("f", ["ls"], shell=True),
        lambda app: app.command("f", ["ls"], timezone="UTC"),
        lambda app: app.http("f", 5, secret_env="S"),
    ],
)
def test_an_option_that_does_not_fit_is_refused(declare: Any) -> None:
    """None is silently without effect."""
    with pytest.raises(Rejected):
        declare(App("shop"))
