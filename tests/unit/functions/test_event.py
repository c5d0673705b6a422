"""An event as functions see it."""

import base64

import msgspec

from penstock.functions.event import decode_event


def test_data_that_is_not_json_arrives_as_bytes() -> None:
    """With its media type, as CloudEvents carries it in base64."""
    sent = {"id": "1", "name": "file.put", "data_base64": base64.b64encode(b"\x00\xff").decode()}
    event = decode_event(msgspec.json.encode({**sent, "datacontenttype": "image/png"}))
    assert (event.data, event.datacontenttype) == (b"\x00\xff", "image/png")


def test_further_attributes_of_a_cloudevent_are_extensions() -> None:
    """What has no field of its own is kept by its name."""
    event = decode_event(b'{"specversion":"1.0","id":"1","type":"user.signup","source":"/s","partitionkey":"eu"}')
    assert (event.name, event.source, event.extensions) == ("user.signup", "/s", {"partitionkey": "eu"})
