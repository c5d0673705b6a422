"""The OpenAPI 3.1 document at /schema, with the key and the problem documents that every operation shares."""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from litestar import Litestar
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, OpenAPIResponse, Reference, SecurityScheme
from litestar.openapi.spec.enums import OpenAPIType
from litestar.openapi.spec.media_type import OpenAPIMediaType
from litestar.openapi.spec.schema import Schema

from penstock.domain.errors import CATALOGUE, Rejected
from penstock.service.direct import COMPONENTS
from penstock.service.problems import PROBLEM_MEDIA_TYPE, rejected_members

SCHEMA_PATH = "/schema"


def openapi_config() -> OpenAPIConfig:
    """Plain JSON at /schema and /schema/openapi.json; no pages that load scripts from elsewhere."""
    bearer = SecurityScheme(type="http", scheme="bearer", description="The API key.")
    return OpenAPIConfig(
        title="Penstock",
        version=_version(),
        description="Background functions: start them, follow them, read their history.",
        path=SCHEMA_PATH,
        render_plugins=[JsonRenderPlugin(path=["/", "/openapi.json"])],
        components=Components(security_schemes={"bearer": bearer}),
        security=[{"bearer": []}],
        use_handler_docstrings=True,
    )


def document(app: Litestar) -> None:
    """Add the problem answer to every operation of the app's document."""
    schema = app.openapi_schema
    components = schema.components or Components()
    bodies: dict[str, Any] = {}
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            bodies.update(handler.opt.get(COMPONENTS, {}))
    components.schemas = {**(components.schemas or {}), **bodies, "Problem": _problem_schema()}
    example = rejected_members(
        Rejected("invalid_arguments", "a must be an integer.", pointers=[("/args/0", "not an integer")])
    )
    problem = OpenAPIResponse(
        description="A problem (RFC 9457). `code` is stable and tells programs what happened.",
        content={
            PROBLEM_MEDIA_TYPE: OpenAPIMediaType(schema=Reference(ref="#/components/schemas/Problem"), example=example)
        },
    )
    components.responses = {**(components.responses or {}), "Problem": problem}
    schema.components = components
    for item in (schema.paths or {}).values():
        for operation in (item.get, item.post, item.put, item.patch, item.delete):
            if operation is None:
                continue
            # Litestar documents a 400 in its own form, which nobody ever gets.
            documented = {status: each for status, each in (operation.responses or {}).items() if status != "400"}
            operation.responses = {**documented, "default": Reference(ref="#/components/responses/Problem")}


def _problem_schema() -> Schema:
    text = Schema(type=OpenAPIType.STRING)
    error = Schema(
        type=OpenAPIType.OBJECT, properties={"pointer": text, "detail": text}, required=["pointer", "detail"]
    )
    return Schema(
        type=OpenAPIType.OBJECT,
        description="A problem document. Some codes carry further members, such as `near` or `state`.",
        properties={
            "type": text,
            "title": text,
            "status": Schema(type=OpenAPIType.INTEGER),
            "detail": text,
            "code": Schema(type=OpenAPIType.STRING, enum=sorted(CATALOGUE)),
            "errors": Schema(type=OpenAPIType.ARRAY, items=error),
        },
        required=["type", "title", "status", "detail", "code", "errors"],
    )


def _version() -> str:
    try:
        return version("penstock")
    except PackageNotFoundError:
        return "0"
