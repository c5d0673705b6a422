"""Subjects and names, and what hostile ones do."""

import pytest

from penstock.domain.errors import Rejected
from penstock.wire.names import START_WAIT, TICK_WAIT, Names, wait_token

ID = "0190a5d4c3b27e6f8a9b0c1d2e3f4a5b"
names = Names()


@pytest.mark.parametrize("environment", ["", "Prod", "a b", "a.b", "*", ">", "-a", "x" * 33, "a\n", "é", "a/b", "\x00"])
def test_a_hostile_environment_is_refused(environment: str) -> None:
    """It would leave its own space."""
    with pytest.raises(Rejected) as refusal:
        Names(environment)
    assert refusal.value.code == "invalid_name"


def test_the_fixed_subjects_are_these() -> None:
    """Programs of others depend on them."""
    assert names.event_subject("user.signup") == "penstock.dev.events.user.signup"
    assert names.invoke_subject("add") == "penstock.dev.invoke.add"
    assert names.notification_subject("failed", "add") == "penstock.dev.notify.failed.add"


def test_the_default_environment_has_plain_stream_names() -> None:
    """Others say which they belong to."""
    assert (names.executions, Names("prod").executions) == ("EXECUTIONS", "EXECUTIONS-prod")


def test_two_environments_share_no_name() -> None:
    """Their spaces are apart."""
    one, two = Names("a"), Names("b")
    for field in ("root", "events", "executions", "timers", "notifications", "logs", "payloads", "registry", "leases"):
        assert getattr(one, field) != getattr(two, field)


@pytest.mark.parametrize("kind", ["run", "end", "fact"])
def test_a_fact_subject_is_parsed_as_it_is_built(kind) -> None:  # type: ignore[no-untyped-def]
    """Execution, class and function."""
    subject = names.fact_subject(ID, "add", kind)
    assert names.parse_fact_subject(subject) == (ID, kind, "add")
    assert subject in names.fact_subjects(ID, "add")


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "penstock.dev.c.tick.x",
        "penstock.prod.x.a.run.f",
        "penstock.dev.x.a",
        "penstock.dev.x.a.run.f.g",
        "penstock.dev.x.",
    ],
)
def test_any_other_subject_is_no_fact_subject(subject: str) -> None:
    """It is skipped, and stops nobody."""
    assert names.parse_fact_subject(subject) is None


@pytest.mark.parametrize("subject", ["", "penstock.dev.timer.a.b", "penstock.dev.wake.a", "penstock.dev.wake.a.b.c"])
def test_any_other_subject_is_no_wake_up(subject: str) -> None:
    """Only what has fired is one."""
    assert names.parse_wake_subject(subject) is None


def test_a_wake_up_is_parsed_as_it_is_built() -> None:
    """Execution and wait."""
    assert names.parse_wake_subject(names.wake_subject(ID, "3")) == (ID, "3")


def test_an_event_subject_is_parsed_as_it_is_built() -> None:
    """Door and name; anything else is neither."""
    assert names.parse_event_subject(names.event_subject("a.b")) == ("events", "a.b")
    assert names.parse_event_subject(names.invoke_subject("f")) == ("invoke", "f")
    assert names.parse_event_subject("penstock.prod.events.a") is None
    assert names.parse_event_subject("penstock.dev.eventsx.a") is None


@pytest.mark.parametrize("key", ["", "pause", "pause#2", "a.b", "a b >", "é" * 500])
def test_a_wait_is_one_safe_token_of_a_subject(key: str) -> None:
    """Whatever its name is, its wake-up is found again by it, and no fixed wait has the same."""
    token = wait_token(key)
    assert len(token) == 17
    assert token[1:].isalnum()
    assert token not in (START_WAIT, TICK_WAIT)
    assert names.parse_wake_subject(names.wake_subject(ID, token)) == (ID, token)


def test_two_waits_of_an_execution_have_two_tokens() -> None:
    """A second timer on one subject would silently replace the first; the value is the same for ever."""
    assert wait_token("pause") != wait_token("pause#2")
    assert wait_token("pause") == "w1500e00165b62b5a"
