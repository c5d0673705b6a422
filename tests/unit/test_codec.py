"""Facts to bytes and back."""

import json
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from penstock.domain.execution import facts as f
from penstock.domain.execution import upcast as upcasts
from penstock.domain.execution.upcast import upcast
from penstock.domain.system import EventFannedOut, EventRejected
from penstock.wire.codec import decode_fact, decode_system_fact, encode_fact, encode_system_fact
from unit.histories import enqueued

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
numbers = st.integers(0, 2**53)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
).map(lambda value: Raw(msgspec.json.encode(value)))

BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    int: numbers,
    str: texts,
    bool: st.booleans(),
    Raw: values,
    type(None): st.none(),
    f.ErrorInfo: st.builds(f.ErrorInfo, code=texts, type=texts, message=texts, stack=texts),
    float: st.floats(allow_nan=False, allow_infinity=False),
    f.Wait: st.builds(
        f.Wait, key=texts, wait=st.sampled_from(["sleep", "event"]), until=numbers, match=st.dictionaries(texts, values)
    ),
    f.Child: st.builds(f.Child, id=texts, function=texts),
    f.Link: st.builds(f.Link, trace_id=texts, span_id=texts),
}


def strategy(hint: Any) -> st.SearchStrategy[Any]:
    """Values of one annotated type, through lists, dictionaries and unions."""
    origin, inner = getattr(hint, "__origin__", None), getattr(hint, "__args__", ())
    if hint in BY_TYPE:
        return BY_TYPE[hint]
    if origin is Literal:
        return st.sampled_from(inner)
    if origin is list:
        return st.lists(strategy(inner[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(strategy(inner[0]), strategy(inner[1]), max_size=3)
    return st.one_of([strategy(one) for one in inner])


def facts_of(kind: type[f.Fact]) -> st.SearchStrategy[f.Fact]:
    """Facts of one kind, every field filled at random except the version."""
    fields = {field.name: strategy(field.type) for field in msgspec.structs.fields(kind) if field.name != "v"}
    for optional in {"event"} & fields.keys() | ({"result"} if kind is f.ChildCompleted else set()):
        # To msgspec the type is Raw, since it knows no union with Raw.
        fields[optional] = st.none() | values
    return st.builds(kind, **fields)


KINDS: tuple[type[f.Fact], ...] = f.AnyFact.__args__  # type: ignore[attr-defined]


@given(fact=st.one_of([facts_of(kind) for kind in KINDS]))
def test_every_fact_round_trips(fact: f.AnyFact) -> None:
    """Whatever its fields hold."""
    assert decode_fact(encode_fact(fact)) == fact


def test_the_tags_on_the_wire_are_these() -> None:
    """They are for ever: a class may be renamed, its tag may not."""
    assert sorted(str(kind.__struct_config__.tag) for kind in KINDS) == [
        "admitted", "attempt_lost", "cancel_requested", "cancelled", "child_called", "child_completed",
        "compensating", "discarded", "due", "enqueued", "failed", "followed", "joined", "message_received", "paused",
        "progressed", "rescheduled", "resumed", "retry_scheduled", "started", "step_completed", "step_failed",
        "step_started", "succeeded", "suspended", "wait_opened", "woken",
    ]  # fmt: skip


def test_what_has_its_default_is_not_written() -> None:
    """A small fact is a fast fact."""
    assert json.loads(encode_fact(f.Due(n=2, at=5))) == {"kind": "due", "n": 2, "at": 5}


def test_an_unknown_kind_is_preserved() -> None:
    """Kept with its number, its name and all its bytes."""
    data = b'{"kind":"blessed","n":4,"at":9,"id":"i","by":{"whom":"us"}}'
    fact = decode_fact(data)
    assert isinstance(fact, f.Unknown)
    assert (fact.n, fact.at, fact.id, f.kind_of(fact), bytes(fact.raw)) == (4, 9, "i", "blessed", data)


def test_a_known_kind_in_an_unknown_shape_is_preserved() -> None:
    """A newer program may have changed it."""
    fact = decode_fact(b'{"kind":"started","v":9,"n":2,"at":9,"runners":["r1"]}')
    assert isinstance(fact, f.Unknown)
    assert f.kind_of(fact) == "started"


def test_a_field_of_a_newer_program_does_no_harm() -> None:
    """The rest is read."""
    assert decode_fact(b'{"kind":"due","n":2,"at":9,"because":"x"}') == f.Due(n=2, at=9)


@pytest.mark.parametrize("data", [b"", b"no json", b"[]", b'{"kind":"due"}', b'{"kind":"x","n":"two","at":1}'])
def test_what_is_no_fact_is_refused(data: bytes) -> None:
    """The caller decides what to do with it."""
    with pytest.raises(msgspec.DecodeError):
        decode_fact(data)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two old versions of `started`: the first named its runner `worker`, the second counted attempts from 0."""

    def renamed(raw: dict[str, Any]) -> dict[str, Any]:
        return {**{key: value for key, value in raw.items() if key != "worker"}, "runner": raw["worker"]}

    def counted(raw: dict[str, Any]) -> dict[str, Any]:
        return {**raw, "attempt": raw["attempt"] + 1}

    monkeypatch.setitem(upcasts.CURRENT, "started", 3)
    monkeypatch.setitem(upcasts.UPCASTS, ("started", 1), renamed)
    monkeypatch.setitem(upcasts.UPCASTS, ("started", 2), counted)


@pytest.mark.usefixtures("planted")
def test_an_old_version_is_upcast_through_all_versions_since() -> None:
    """The fact comes out as the current program knows it."""
    fact = decode_fact(b'{"kind":"started","n":2,"at":9,"activation":1,"attempt":0,"worker":"r1"}')
    assert fact == f.Started(n=2, at=9, v=3, activation=1, attempt=1, runner="r1")


@pytest.mark.usefixtures("planted")
def test_an_old_version_that_would_decode_as_it_is_is_upcast_too() -> None:
    """The version decides, not the shape."""
    fact = decode_fact(b'{"kind":"started","v":2,"n":2,"at":9,"activation":1,"attempt":0,"runner":"r1"}')
    assert isinstance(fact, f.Started)
    assert fact.attempt == 1


@pytest.mark.usefixtures("planted")
def test_the_current_version_is_left_alone() -> None:
    """No upcast is applied twice."""
    fact = f.Started(n=2, at=9, v=3, activation=1, attempt=1, runner="r1")
    assert decode_fact(encode_fact(fact)) == fact


def test_a_fact_of_a_newer_program_is_not_upcast() -> None:
    """There is nothing to turn it into."""
    raw = {"kind": "due", "v": 7, "n": 2, "at": 9}
    assert upcast(dict(raw)) == raw


def test_system_facts_round_trip() -> None:
    """With lists of tuples."""
    fact = EventFannedOut(at=1, sequence=2, event_id="e", name="a.b", executions=[("f", "x")])
    assert decode_system_fact(encode_system_fact(fact)) == fact
    rejected = EventRejected(at=1, sequence=2, subject="s", code="invalid_json", detail="no")
    assert decode_system_fact(encode_system_fact(rejected)) == rejected


def test_a_system_fact_of_an_unknown_kind_is_none() -> None:
    """The log keeps it; this program skips it."""
    assert decode_system_fact(b'{"kind":"blessed","at":1}') is None


def test_an_event_travels_in_the_first_fact() -> None:
    """Whole, and None when there was none."""
    fact = decode_fact(encode_fact(enqueued(event=Raw(b'{"id":"1"}'))))
    assert isinstance(fact, f.Enqueued)
    assert fact.event is not None
    assert bytes(fact.event) == b'{"id":"1"}'
    assert decode_fact(encode_fact(enqueued())) == enqueued()


def test_arguments_travel_byte_for_byte() -> None:
    """They are checked at the door and parsed by the runner only."""
    data = encode_fact(enqueued(args=Raw(b'[1.0, {"b":1, "a":2}]')))
    fact = decode_fact(data)
    assert isinstance(fact, f.Enqueued)
    assert bytes(fact.args) == b'[1.0, {"b":1, "a":2}]'
