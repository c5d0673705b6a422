"""The AsyncAPI document in the repository is that of the code, and holds together."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from penstock.domain.function.options import CallOptions
from penstock.service.asyncapi import document
from penstock.service.yaml import to_yaml
from penstock.wire.names import Names

FILE = Path(__file__).parents[2] / "infra/asyncapi.yaml"
DOCUMENT = document()


def _inside(value: Any) -> Iterator[dict[str, Any]]:
    """All objects in it."""
    if isinstance(value, dict):
        yield value
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _inside(each)


def _at(reference: str) -> Any:
    found: Any = DOCUMENT
    for token in reference.removeprefix("#/").split("/"):
        found = found[token]
    return found


def test_the_file_is_what_the_code_says() -> None:
    """`make asyncapi` writes it again."""
    assert FILE.read_text(encoding="utf-8") == to_yaml(DOCUMENT)
    assert yaml.safe_load(FILE.read_text(encoding="utf-8")) == DOCUMENT


def test_all_references_lead_somewhere() -> None:
    """A reader that follows them never stands before nothing."""
    for each in _inside(DOCUMENT):
        if "$ref" in each:
            assert _at(each["$ref"]) is not None


def test_addresses_have_the_parameters_that_they_name() -> None:
    """No more and no fewer."""
    for channel in DOCUMENT["channels"].values():
        named = set(re.findall(r"{(\w+)}", channel["address"] or ""))
        assert named == set(channel.get("parameters", {}))


def test_the_addresses_are_the_subjects_of_the_services() -> None:
    """With their parameters filled in."""
    names = Names("prod")
    filled = {
        channel["address"].format(environment="prod", name="a.b", function="add")
        for channel in DOCUMENT["channels"].values()
        if channel["address"]
    }
    told = {names.notification_subject(each, "add") for each in ("failed", "cancelled", "discarded")}
    assert filled == {names.event_subject("a.b"), names.invoke_subject("add"), *told}


def test_every_option_of_a_call_is_documented() -> None:
    """They are read from the struct that decodes them, which takes no others."""
    schema = DOCUMENT["components"]["schemas"]["CallOptions"]
    assert set(schema["properties"]) == set(CallOptions.__struct_fields__)
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize("name", list(DOCUMENT["components"]["messages"]))
def test_examples_fit_their_schemas(name: str) -> None:
    """Payload and headers."""
    message = DOCUMENT["components"]["messages"][name]
    for part in ("payload", "headers"):
        schema = {"components": DOCUMENT["components"], **message.get(part, {})}
        check = jsonschema_rs.Draft7Validator(schema)
        for example in message.get("examples", []):
            check.validate(example.get(part, {}))


def test_texts_that_yaml_would_read_otherwise_are_quoted() -> None:
    """`no` is a text, and so is `1.0`."""
    value = {"on": ["no", "1.0", "a: b", "", "# none", 'q"', "é\n"], "deep": [{"a": [], "b": {}}, None, True, 2]}
    assert yaml.safe_load(to_yaml(value)) == value
