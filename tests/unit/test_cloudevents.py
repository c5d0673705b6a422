"""The CloudEvents codec, against the official package as oracle and against the rules it leaves out."""

import base64
import string
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from cloudevents.core.bindings.http import to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from examples import examples
from penstock.domain.errors import Rejected
from penstock.wire import cloudevents as ce

TOKENS = st.text(alphabet=string.ascii_letters + string.digits + "_-", min_size=1, max_size=20)
NAMES = st.lists(TOKENS, min_size=1, max_size=8).map(".".join)
TEXT = st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=40)
SOURCES = st.lists(TOKENS, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
OWN = {"id", "source", "type", "specversion", "time", "subject", "datacontenttype", "dataschema", "data", "traceparent"}
EXTENSIONS = st.dictionaries(
    st.text(alphabet=string.ascii_lowercase + string.digits, min_size=1, max_size=20).filter(lambda n: n not in OWN),
    TEXT,
    max_size=4,
)
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | TEXT
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(TEXT, children, max_size=4),
    max_leaves=10,
)
TIMES = st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2100, 1, 1)).map(
    lambda t: t.replace(tzinfo=UTC)
)


@st.composite
def official_events(draw: st.DrawFn) -> CloudEvent:
    """An event as the official package holds it."""
    attributes: dict[str, Any] = {
        "id": draw(TEXT),
        "source": draw(SOURCES),
        "type": draw(NAMES),
        "specversion": "1.0",
        "datacontenttype": "application/json",
        "time": draw(TIMES),
    }
    if draw(st.booleans()):
        attributes["subject"] = draw(TEXT)
    return CloudEvent({**attributes, **draw(EXTENSIONS)}, draw(JSON_VALUES.filter(lambda value: value is not None)))


def agree(event: ce.Event, official: CloudEvent) -> None:
    assert (event.id, event.source, event.name) == (official.get_id(), official.get_source(), official.get_type())
    assert event.subject == official.get_subject()
    assert event.time is not None
    assert msgspec.convert(event.time, datetime) == official.get_time()
    extensions = {key: value for key, value in official.get_attributes().items() if key not in OWN}
    assert event.extensions == extensions
    assert msgspec.json.decode(event.data) == official.get_data()


def lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


@given(official_events())
@settings(max_examples=examples(50), deadline=None)
def test_structured_events_read_as_the_official_package_wrote_them(official: CloudEvent) -> None:
    """Every attribute, extension and value."""
    agree(ce.parse_structured(_bytes(to_structured(official, JSONFormat()).body)), official)


@given(official_events())
@settings(max_examples=examples(50), deadline=None)
def test_binary_events_read_as_the_official_package_wrote_them(official: CloudEvent) -> None:
    """Header values are percent-decoded once."""
    # The package writes everything but objects as Python shows it, not as JSON.
    assume(isinstance(official.get_data(), dict))
    message = to_binary(official, JSONFormat())
    agree(ce.parse_http_binary(lower(message.headers), _bytes(message.body)), official)


@given(official_events())
@settings(max_examples=examples(50), deadline=None)
def test_the_official_package_reads_what_we_write(official: CloudEvent) -> None:
    """There and back again."""
    event = ce.parse_structured(_bytes(to_structured(official, JSONFormat()).body))
    again = JSONFormat().read(CloudEvent, ce.write_structured(event))
    agree(event, again)


@given(official_events())
@settings(max_examples=examples(50), deadline=None)
def test_what_is_written_is_read_as_the_same(official: CloudEvent) -> None:
    """Nothing is lost between the HTTP door and the stream."""
    event = ce.parse_structured(_bytes(to_structured(official, JSONFormat()).body))
    again = ce.parse_structured(ce.write_structured(event))
    assert msgspec.structs.replace(again, data=event.data) == event
    assert msgspec.json.decode(again.data) == msgspec.json.decode(event.data)


@given(st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=60))
def test_a_header_value_survives_its_encoding(text: str) -> None:
    """Also quotes, percent signs, control characters and other scripts; what is sent is plain ASCII."""
    encoded = ce.encode_header(text)
    assert all(0x21 <= ord(character) <= 0x7E for character in encoded)
    assert ce.decode_header(encoded) == text


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(body: bytes) -> None:
    """Whatever comes is an event or a refusal."""
    assert _status(ce.parse_structured, body) in (202, 400, 413, 422)
    assert _status(ce.parse_batch, body) in (202, 400)


GOOD: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "/s", "type": "a.b"}
HEADERS = {f"ce-{name}": value for name, value in GOOD.items()}


def test_binary_data_stays_what_it_is() -> None:
    """Base64 of another media type is handed on as base64."""
    data = base64.b64encode(b"\x00\xff").decode()
    event = ce.parse_structured(msgspec.json.encode({**GOOD, "datacontenttype": "image/png", "data_base64": data}))
    assert (event.data_base64, event.datacontenttype) == ("AP8=", "image/png")
    assert ce.parse_structured(ce.write_structured(event)) == event


def test_base64_of_json_is_json() -> None:
    """The media type decides."""
    data = base64.b64encode(b"[1]").decode()
    event = ce.parse_structured(msgspec.json.encode({**GOOD, "datacontenttype": ce.JSON, "data_base64": data}))
    assert (bytes(event.data), event.data_base64) == (b"[1]", None)


def test_the_two_bindings_name_the_media_type_differently() -> None:
    """Content-Type over HTTP, ce-datacontenttype over NATS; the HTTP one refuses the other's header."""
    over_http = ce.parse_http_binary({**HEADERS, "content-type": "text/plain"}, b"x")
    over_nats = ce.parse_nats_binary({**HEADERS, "ce-datacontenttype": "text/plain", "content-type": "ignored"}, b"x")
    assert over_http.datacontenttype == over_nats.datacontenttype == "text/plain"
    with pytest.raises(Rejected) as refusal:
        ce.parse_http_binary({**HEADERS, "ce-datacontenttype": "text/plain"}, b"x")
    assert refusal.value.code == "invalid_event"


@pytest.mark.parametrize("value", ["%zz", "100%", "%ff%fe"])
def test_a_header_that_decodes_to_nothing_is_refused(value: str) -> None:
    """Half an encoding, or bytes that are no UTF-8."""
    with pytest.raises(Rejected) as refusal:
        ce.parse_nats_binary({**HEADERS, "ce-subject": value}, b"1")
    assert refusal.value.code == "invalid_event"


@pytest.mark.parametrize("name", ["Upper", "with-dash", "with_underscore", "x" * 41])
def test_an_extension_with_a_bad_name_is_refused(name: str) -> None:
    """Lower-case letters and digits only."""
    with pytest.raises(Rejected) as refusal:
        ce.parse_structured(msgspec.json.encode({**GOOD, name: "x"}))
    assert refusal.value.code == "invalid_event"


def test_null_means_absent() -> None:
    """As the JSON format has it, for optional attributes and for required ones."""
    assert ce.parse_structured(msgspec.json.encode({**GOOD, "subject": None})).subject is None
    with pytest.raises(Rejected):
        ce.parse_structured(msgspec.json.encode({**GOOD, "id": None}))


def test_the_origin_trace_is_kept_apart_from_the_extensions() -> None:
    """It is an extension on the wire and a field here."""
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    event = ce.parse_structured(msgspec.json.encode({**GOOD, "traceparent": trace}))
    assert (event.traceparent, event.extensions) == (trace, {})
    assert msgspec.json.decode(ce.write_structured(event))["traceparent"] == trace


def _bytes(body: str | bytes) -> bytes:
    return body.encode() if isinstance(body, str) else body


def _status(read: Callable[[bytes], object], body: bytes) -> int:
    try:
        read(body)
    except Rejected as refusal:
        return refusal.kind.status
    return 202


@pytest.mark.parametrize("attribute", ["id", "subject", "tenant"])
@pytest.mark.parametrize("text", ["a\x00", "a\nb", "\x7f", "\x9f"])
def test_control_characters_in_attributes_are_refused(attribute: str, text: str) -> None:
    """The specification excludes them from its strings, and they would travel on into lists and terminals."""
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "a", attribute: text}
    with pytest.raises(Rejected) as refusal:
        ce.parse_structured(msgspec.json.encode(event))
    assert (refusal.value.code, refusal.value.pointers[0][0]) == ("invalid_event", f"/{attribute}")
