"""Attempts of `http` functions: a signed POST to the user's URL, whose answer is the result."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import structlog

from penstock.domain.errors import Rejected
from penstock.domain.function.options import FunctionSpec
from penstock.domain.function.target import HttpTarget, shown_url
from penstock.domain.limits import foreign_result_bytes_max, http_seconds_max
from penstock.egress.sender import Answer, Egress, EgressFailed, EgressRefused
from penstock.egress.signing import signed_headers
from penstock.functions.actions import MakeToken
from penstock.wire.names import (
    ATTEMPT,
    CALLBACK_URL,
    CONTENT_TYPE,
    EXECUTION_ID,
    FUNCTION,
    IDEMPOTENCY_KEY_HTTP,
)
from penstock.wire.traces import trace_headers
from penstock_runner.places.answers import ending_of
from penstock_runner.places.callback import callback_key, ending_by_callback, wait_for_callback
from penstock_runner.places.described import Described, carried_to, described
from penstock_runner.places.secret import read_secrets
from penstock_runner.workers.assignment import Assignment, Ending, Killed
from penstock_runner.workers.messages import Do, Line, Outcomes, Raised, Run
from penstock_runner.workers.messages import Message as ToWorker
from penstock_runner.workers.slots import Slots
from penstock_runner.workers.time_limits import TimeLimits

logger = structlog.get_logger("penstock")

ATTEMPTS_MAX = 500
"""Requests under way in one runner."""
SECONDS_DEFAULT = 60.0
"""How long an answer may take where the function has no time-out."""
ACCEPTED = 202
MESSAGE_TYPE = "penstock.attempt"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a request, in the shape that Standard Webhooks recommends."""

    type: str
    timestamp: str
    data: Described


class WebPlace:
    """All requests of this runner; none of them blocks anything but itself."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress
        self._slots = Slots(ATTEMPTS_MAX)
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def slots(self, spec: FunctionSpec) -> Slots:
        return self._slots

    def retire(self) -> None:
        """There is nothing that would be replaced."""

    async def close(self) -> None:
        await self._egress.close()

    async def ready(self, spec: FunctionSpec) -> None:
        """A request needs no preparation."""

    async def run(self, spec: FunctionSpec, assignment: Assignment, timeout: float | None) -> Ending:
        run = assignment.run
        answered = ending_by_callback(run.number, run.attempt, run.outcomes)
        if answered is not None:
            assignment.end(answered)
        if assignment.ending.done():
            return await assignment.ending
        number = assignment.run.number
        limits = assignment.limits = assignment.limits or TimeLimits(timeout)
        limits.begin(lambda verdict: self.stop(assignment, verdict))
        self._tasks[number] = asyncio.create_task(self._attempt(spec, assignment, timeout), name=f"post-{spec.name}")
        try:
            return await assignment.ending
        finally:
            self._tasks.pop(number).cancel()

    def stop(self, assignment: Assignment, verdict: Killed, force: bool = False) -> None:
        """Abort the request: the other side sees its connection close."""
        assignment.end(verdict)

    async def _attempt(self, spec: FunctionSpec, assignment: Assignment, timeout: float | None) -> None:
        assert isinstance(spec.target, HttpTarget)
        run, url = assignment.run, spec.target.url
        seconds = patience(timeout)
        callback = callback_key(run.outcomes)
        begun, started = time.time(), time.monotonic()
        ending: Ending
        try:
            answer = await self._send(spec, run, await _callback_url(assignment, callback), seconds)
            text = f"answered {answer.status} in {time.monotonic() - started:.3f} s"
            assignment.capture.add([Line(time.time_ns() // 1000, "logging", "info", f"{shown_url(url)} {text}")])
            if answer.status == ACCEPTED:
                ending = await _wait(assignment, callback, None if timeout is None else begun + timeout)
            else:
                ending = ending_of(run.number, url, answer, time.time())
        except EgressFailed as error:
            if error.is_timeout:
                ending = Killed("timed_out", str(error))
            else:
                ending = Raised(run.number, "user_error", error.kind, str(error), "")
        except EgressRefused as error:
            ending = Raised(run.number, "user_error", "EgressRefused", str(error), "", terminal=True)
        except Rejected as error:
            # The secret was there when the runner started, and may come back.
            ending = Raised(run.number, "user_error", "SecretMissing", error.detail, "")
        except Exception as error:
            # Whatever this is, an attempt without an end would hold its slot for ever.
            logger.exception("request_broke")
            ending = Raised(run.number, "user_error", type(error).__name__, "The request could not be sent.", "")
        assignment.end(ending)

    async def _send(self, spec: FunctionSpec, run: Run, callback_url: str, seconds: float) -> Answer:
        target = spec.target
        assert isinstance(target, HttpTarget)
        secrets = read_secrets(target, spec.name)
        now = datetime.now(UTC)
        message = Message(type=MESSAGE_TYPE, timestamp=now.isoformat(), data=described(run, callback_url))
        body = msgspec.json.encode(message)
        headers = {
            CONTENT_TYPE: "application/json",
            EXECUTION_ID: run.execution_id,
            FUNCTION: run.function,
            ATTEMPT: str(run.attempt),
            CALLBACK_URL: callback_url,
            # The same in every attempt: what was done for one must not be done again for the next.
            IDEMPOTENCY_KEY_HTTP: f'"{run.execution_id}"',
            **trace_headers(carried_to(run)),
            **signed_headers(secrets, run.execution_id, body, int(now.timestamp())),
        }
        return await self._egress.post(
            target.url, headers, body, seconds=seconds, answer_bytes_max=foreign_result_bytes_max
        )


async def _callback_url(assignment: Assignment, key: str) -> str:
    answer = await assignment.respond(Do(assignment.run.number, 1, MakeToken(key)))
    return str(msgspec.json.decode(answer.body)["url"])


async def _wait(assignment: Assignment, key: str, until: float | None) -> Ending:
    """After a 202. Where the attempt waits, or is being stopped, that has ended it before this answers."""
    run, told = assignment.run, dict(assignment.run.outcomes)

    def take(message: ToWorker) -> None:
        if isinstance(message, Outcomes):
            told.update(message.outcomes)

    assignment.send = take
    answer = await assignment.respond(Do(run.number, 2, wait_for_callback(key, run.attempt, until)))
    # The callback may have been quicker than the answer to the request.
    ending = ending_by_callback(run.number, run.attempt, told)
    return ending or Raised(run.number, "internal", answer.code, answer.detail or "It could not wait.", "")


async def open_web(specs: Sequence[FunctionSpec], egress_allow: str) -> WebPlace:
    """A place for the `http` functions among these. Raises Rejected `invalid_option` for a secret that is missing:
    better said at the start than at each attempt.
    """
    for spec in specs:
        if isinstance(spec.target, HttpTarget):
            read_secrets(spec.target, spec.name)
    egress = Egress(egress_allow)
    # Now, and not within the time of the first attempt.
    await egress.open()
    return WebPlace(egress)


def patience(timeout: float | None) -> float:
    """How many seconds one request may take at most, whatever the limits of the attempt: a longer time-out is for
    callbacks, which hold no connection.
    """
    return SECONDS_DEFAULT if timeout is None else float(http_seconds_max)
