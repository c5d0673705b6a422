"""HTTP: changing limits, pausing and resuming, each a fact with an author."""

from typing import Annotated, Any

import msgspec
from litestar import Request, post, put
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from penstock.domain.errors import Rejected
from penstock.domain.flow.limits import ENVIRONMENT
from penstock.domain.ids import content_hash, is_function_name
from penstock.domain.limits import concurrency_max, flow_key_chars_max
from penstock.domain.system import AnySystemFact, LimitChanged, Paused, Resumed
from penstock.jetstream.log import JetStreamLog
from penstock.ports import Clock
from penstock.service.gate import KIND, Gate
from penstock.wire.codec import encode_system_fact
from penstock_ingest.drafts import Drafter, decode_strictly

AUTHOR_CHARS_MAX = 128
TARGETS = {
    "functions": "function",
    "shared": "limit",
    "throttles": "throttle",
    "rate-limits": "rate_limit",
}
"""Word in the address -> kind of target."""


class LimitBody(msgspec.Struct, forbid_unknown_fields=True):
    """The new limit; null goes back to what the functions declare, or to none."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=concurrency_max)] | None
    author: str = "api"


class PauseBody(msgspec.Struct, forbid_unknown_fields=True):
    """`key` stops or resumes only executions with this concurrency key."""

    key: str = ""
    author: str = "api"


class Changed(msgspec.Struct):
    """What the log has now; `sequence` is its position."""

    target: str
    sequence: str


AnyRequest = Request[Any, Any, Any]
_limit_decoder = msgspec.json.Decoder(LimitBody)
_pause_decoder = msgspec.json.Decoder(PauseBody)


class FlowRoutes:
    """`PUT /v1/limits/...` and `POST .../pause` and `.../resume`."""

    def __init__(self, log: JetStreamLog, drafter: Drafter, gate: Gate, clock: Clock) -> None:
        self._log = log
        self._drafter = drafter
        self._gate = gate
        self._clock = clock

    def handlers(self) -> list[HTTPRouteHandler]:
        @put("/v1/limits/environment", operation_id="setEnvironmentLimit", summary="Set the environment's limit")
        async def set_environment(request: AnyRequest) -> Changed:
            """Over all functions, shared out evenly. What is accepted from now on waits for admission."""
            return await self._limit(ENVIRONMENT, await request.body())

        @put("/v1/limits/{kind:str}/{name:str}", operation_id="setLimit", summary="Set a limit")
        async def set_limit(kind: FromPath[str], name: FromPath[str], request: AnyRequest) -> Changed:
            """`kind` is functions, shared, throttles or rate-limits."""
            return await self._limit(self._target(kind, name), await request.body())

        @post("/v1/functions/{name:str}/pause", status_code=200, operation_id="pauseFunction", summary="Pause")
        async def pause(name: FromPath[str], request: AnyRequest) -> Changed:
            """Nothing more of it starts, everything is kept."""
            return await self._pause(Paused, self._drafter.function(name).name, await request.body())

        @post("/v1/functions/{name:str}/resume", status_code=200, operation_id="resumeFunction", summary="Resume")
        async def resume(name: FromPath[str], request: AnyRequest) -> Changed:
            """What came meanwhile starts in its order."""
            return await self._pause(Resumed, self._drafter.function(name).name, await request.body())

        @post("/v1/environment/pause", status_code=200, operation_id="pauseEnvironment", summary="Pause everything")
        async def pause_all(request: AnyRequest) -> Changed:
            """No function starts anything, everything is kept."""
            return await self._pause(Paused, "", await request.body())

        @post("/v1/environment/resume", status_code=200, operation_id="resumeEnvironment", summary="Resume everything")
        async def resume_all(request: AnyRequest) -> Changed:
            """Functions that are paused themselves stay so."""
            return await self._pause(Resumed, "", await request.body())

        return [set_environment, set_limit, pause, resume, pause_all, resume_all]

    def _target(self, kind: str, name: str) -> str:
        if kind not in TARGETS:
            raise Rejected("unknown_route", f"There are no {kind[:80]!r} here, but {', '.join(TARGETS)}.")
        if kind == "shared":
            if not is_function_name(name):
                raise Rejected("invalid_name", f"A limit is named by 1 to 64 of A-Z a-z 0-9 _ -, not {name[:80]!r}.")
            return f"limit:{name}"
        spec = self._drafter.function(name)
        declared = {"throttles": spec.flow.throttle, "rate-limits": spec.flow.rate_limit}
        if kind in declared and declared[kind] is None:
            raise Rejected("invalid_option", f"Function {name} declares none, so that there is no period to count in.")
        return f"{TARGETS[kind]}:{spec.name}"

    async def _limit(self, target: str, body: bytes) -> Changed:
        wanted: LimitBody = _decoded(_limit_decoder, body)
        fact = LimitChanged(at=self._clock(), target=target, limit=wanted.limit, author=checked_author(wanted.author))
        sequence = await self._log.append_system(KIND, target.replace(":", "."), fact)
        if target == ENVIRONMENT:
            # Whoever was answered may rely on it; other copies learn it from the log.
            self._gate.learn(sequence, encode_system_fact(fact))
        return Changed(target, f"x:{sequence}")

    async def _pause(self, kind: type[Paused] | type[Resumed], function: str, body: bytes) -> Changed:
        wanted: PauseBody = _decoded(_pause_decoder, body or b"{}")
        if len(wanted.key) > flow_key_chars_max:
            raise Rejected("invalid_option", f"A key has at most {flow_key_chars_max} characters.")
        if wanted.key and self._drafter.function(function).flow.concurrency_key is None:
            raise Rejected("invalid_option", f"Function {function} has no concurrency_key, so no key of it can pause.")
        fact: AnySystemFact = kind(
            at=self._clock(), function=function, key=wanted.key, author=checked_author(wanted.author)
        )
        target = f"function.{function}" if function else ENVIRONMENT
        place = f"{target}.{content_hash(wanted.key.encode())}" if wanted.key else target
        word = "paused" if kind is Paused else "resumed"
        sequence = await self._log.append_system(word, place, fact)
        return Changed(target.replace(".", ":"), f"x:{sequence}")


def _decoded(decoder: "msgspec.json.Decoder[Any]", body: bytes) -> Any:
    try:
        return decode_strictly(decoder, body)
    except Rejected as refusal:
        code = "invalid_option" if refusal.code == "invalid_arguments" else refusal.code
        raise Rejected(code, refusal.detail, pointers=refusal.pointers) from None


def checked_author(text: str) -> str:
    """Who says it, for the log."""
    if not 1 <= len(text) <= AUTHOR_CHARS_MAX:
        raise Rejected("invalid_option", f"An author has 1 to {AUTHOR_CHARS_MAX} characters.")
    return text
