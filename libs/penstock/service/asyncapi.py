"""The AsyncAPI document of the NATS doors, made from the structs and names that the services use.

`make asyncapi` writes it to infra/asyncapi.yaml; a test compares the file with this module.
"""

import sys
from typing import Any

from penstock.domain.ids import ENVIRONMENT_NAME, EVENT_NAME, FUNCTION_NAME
from penstock.service.asyncapi_examples import CALLS, EVENTS, NOTIFICATIONS, Example
from penstock.service.asyncapi_schemas import schemas
from penstock.service.yaml import to_yaml
from penstock.wire import cloudevents as ce
from penstock.wire import names as wire
from penstock.wire.names import Names
from penstock.wire.notification import OUTCOMES

NAMES = Names("env")
PLACEHOLDER = ".env."
"""Addresses are those of this environment with a parameter in its place."""

Schema = dict[str, Any]

DESCRIPTION = """Background functions on NATS JetStream. Publish events and calls, and subscribe to what failed, with
any NATS client in any language.

The acknowledgement of JetStream is the acceptance: it says that the message is on disk. What became of it is in
`GET /v1/events` of the HTTP API. A message that is not understood is listed there with a code, never tried for ever.
"""


def document() -> dict[str, Any]:
    """The whole document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Penstock",
            "version": "1.0.0",
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": ce.JSON,
        "servers": {
            "local": {
                "host": "127.0.0.1:4222",
                "protocol": "nats",
                "description": "The server that `penstock up` starts.",
                "security": [{"$ref": "#/components/securitySchemes/trigger"}],
            }
        },
        "channels": _channels(),
        "operations": _operations(),
        "components": {
            "messages": _messages(),
            "schemas": schemas(),
            "parameters": _parameters(),
            "securitySchemes": {
                "trigger": {
                    "type": "userPassword",
                    "description": f"User `{wire.TRIGGER_USER}`; the password is the API key. It may publish events and"
                    " calls, and subscribe to notifications, core or by consumers, and nothing else.",
                }
            },
        },
    }


def _address(subject: str) -> str:
    return subject.replace(PLACEHOLDER, ".{environment}.", 1)


def _channels() -> dict[str, Any]:
    environment = {"environment": {"$ref": "#/components/parameters/environment"}}
    function = {**environment, "function": {"$ref": "#/components/parameters/function"}}
    channels: dict[str, Any] = {
        "events": {
            "address": _address(NAMES.event_subject("{name}")),
            "title": "Events",
            "description": "Something that happened. It starts every function that subscribes to its name.",
            "parameters": {**environment, "name": {"$ref": "#/components/parameters/event"}},
            "messages": _refs("bareEvent", "structuredEvent", "binaryEvent"),
        },
        "invoke": {
            "address": _address(NAMES.invoke_subject("{function}")),
            "title": "Calls",
            "description": "One execution of one function.",
            "parameters": function,
            "messages": _refs("call"),
        },
        "acknowledgement": {
            "address": None,
            "title": "Acknowledgements",
            "description": "The reply subject that a client names when it publishes.",
            "messages": _refs("stored", "notStored"),
        },
    }
    for outcome in OUTCOMES:
        channels[outcome] = {
            "address": _address(NAMES.notification_subject(outcome, "{function}")),
            "title": f"Executions that were {outcome}" if outcome != "failed" else "Executions that failed",
            "description": f"One message per execution, at least once; a repeat has the same `id`. Stored in the stream"
            f" {Names().notifications} too, for consumers that were away. `>` in place of the last tokens takes all.",
            "parameters": function,
            "messages": _refs(outcome),
        }
    return channels


def _refs(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/messages/{name}"} for name in names}


def _operations() -> dict[str, Any]:
    reply = {
        "channel": {"$ref": "#/channels/acknowledgement"},
        "messages": [{"$ref": f"#/channels/acknowledgement/messages/{name}"} for name in ("stored", "notStored")],
    }
    operations: dict[str, Any] = {
        "takeEvent": {
            "action": "receive",
            "summary": "Start the functions that subscribe to an event.",
            "channel": {"$ref": "#/channels/events"},
            "reply": reply,
        },
        "takeCall": {
            "action": "receive",
            "summary": "Start one execution of a function.",
            "channel": {"$ref": "#/channels/invoke"},
            "reply": reply,
        },
    }
    for outcome in OUTCOMES:
        operations[f"tell{outcome.capitalize()}"] = {
            "action": "send",
            "summary": f"Tell that an execution ended as {outcome}.",
            "channel": {"$ref": f"#/channels/{outcome}"},
        }
    return operations


def _messages() -> dict[str, Any]:
    messages = {
        "bareEvent": _message(
            "Any JSON: the data of the event", ce.JSON, {}, _schema_ref("PublishHeaders"), EVENTS["bareEvent"]
        ),
        "structuredEvent": _message(
            "A CloudEvent in structured mode", ce.STRUCTURED, _schema_ref("CloudEvent"),
            {"allOf": [_schema_ref("PublishHeaders"), {"type": "object", "required": [wire.CONTENT_TYPE]}]},
            EVENTS["structuredEvent"],
        ),
        "binaryEvent": _message(
            "A CloudEvent in binary mode: attributes in headers, data in the payload", ce.JSON, {},
            {"allOf": [_schema_ref("PublishHeaders"), _schema_ref("CloudEventHeaders")]}, EVENTS["binaryEvent"],
        ),
        "call": _message(
            "Arguments and options", ce.JSON, _schema_ref("ExecutionRequest"),
            {"allOf": [_schema_ref("PublishHeaders"), _schema_ref("CallHeaders")]}, CALLS["call"],
        ),
        "stored": _message("It is stored", ce.JSON, _schema_ref("Stored"), None, []),
        "notStored": _message("It is not stored; publish it again", ce.JSON, _schema_ref("NotStored"), None, []),
    }  # fmt: skip
    for outcome in OUTCOMES:
        schema = {
            "allOf": [
                _schema_ref("Notification"),
                {"type": "object", "properties": {"type": {"const": f"penstock.execution.{outcome}"}}},
            ]
        }
        text = {"type": "string"}
        fields = {wire.CONTENT_TYPE: {**text, "const": ce.STRUCTURED}, wire.TRACEPARENT: text}
        headers = {"type": "object", "properties": fields}
        title = f"An execution that ended as {outcome}"
        messages[outcome] = _message(title, ce.STRUCTURED, schema, headers, NOTIFICATIONS[outcome])
    return messages


def _message(
    title: str, content_type: str, payload: Schema, headers: Schema | None, examples: list[Example]
) -> dict[str, Any]:
    message: dict[str, Any] = {"title": title, "contentType": content_type, "payload": payload}
    if headers is not None:
        message["headers"] = headers
    if examples:
        message["examples"] = [_example(each) for each in examples]
    return message


def _example(example: Example) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": example.name, "summary": example.summary, "payload": example.payload}
    return {**shown, "headers": example.headers} if example.headers else shown


def _schema_ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _parameters() -> dict[str, Any]:
    return {
        "environment": {
            "default": wire.DEFAULT_ENVIRONMENT,
            "description": f"`PENSTOCK_ENV` of the services: {ENVIRONMENT_NAME.pattern}",
        },
        "event": {
            "description": f"The name of the event, its tokens joined by dots: {EVENT_NAME.pattern}",
            "examples": ["user.signup"],
        },
        "function": {"description": f"The name of the function: {FUNCTION_NAME.pattern}", "examples": ["add"]},
    }


if __name__ == "__main__":
    sys.stdout.write(to_yaml(document()))
