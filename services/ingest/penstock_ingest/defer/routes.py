"""HTTP: the calls of Defer's two APIs that write, at the addresses where its clients expect them."""

from litestar import HttpMethod
from litestar.handlers import HTTPRouteHandler

from penstock.defer.requests import Enqueue, Move, Nothing, OldEnqueue, decoded, is_forced, positional, start_at
from penstock.defer.shapes import Data, ExecutionShape, execution_shape
from penstock.ports import Clock
from penstock.service.defer import DEFER
from penstock.service.direct import Call, foreign
from penstock.service.http import json_answer
from penstock.service.problems import Answer
from penstock_ingest.defer.start import Starter
from penstock_ingest.defer.steer import Steerer

V1 = "/public/v1"
V2 = "/public/v2"


class DeferRoutes:
    """Version 2 answers with the whole execution, version 1 with its id."""

    def __init__(self, starter: Starter, steerer: Steerer, clock: Clock) -> None:
        self._starter = starter
        self._steerer = steerer
        self._clock = clock

    def handlers(self) -> list[HTTPRouteHandler]:
        return [
            foreign(f"{V2}/executions", self.enqueue, DEFER, HttpMethod.PUT),
            foreign(V2 + "/executions/{id}/cancellation", self.cancel, DEFER),
            foreign(V2 + "/executions/{id}/schedule", self.reschedule, DEFER, HttpMethod.PATCH),
            foreign(V2 + "/executions/{id}/reruns", self.rerun, DEFER),
            foreign(f"{V1}/enqueue", self.enqueue_old, DEFER),
            foreign(V1 + "/executions/{id}/cancel", self.cancel_old, DEFER),
            foreign(V1 + "/executions/{id}/reschedule", self.reschedule_old, DEFER),
        ]

    async def enqueue(self, call: Call) -> Answer:
        wanted = decoded(Enqueue, call.body)
        arguments = positional(wanted.function_arguments, "function_arguments")
        return whole(201, execution_shape(await self._starter.start(call, wanted, arguments)))

    async def cancel(self, call: Call) -> Answer:
        cancelled = await self._steerer.cancel(call.value, force=is_forced(call.body))
        # Clients take 202 for a complaint: it is being stopped already.
        return whole(202 if cancelled.was_stopping else 200, cancelled.shape)

    async def reschedule(self, call: Call) -> Answer:
        return whole(200, await self._move(call))

    async def rerun(self, call: Call) -> Answer:
        decoded(Nothing, call.body)
        found = await self._steerer.find(call.value)
        return whole(200, execution_shape(await self._starter.start_again(call, found.execution.id)))

    async def enqueue_old(self, call: Call) -> Answer:
        wanted = decoded(OldEnqueue, call.body).as_new()
        arguments = positional(wanted.function_arguments, "arguments")
        return json_answer(200, {"id": (await self._starter.start(call, wanted, arguments)).id})

    async def cancel_old(self, call: Call) -> Answer:
        cancelled = await self._steerer.cancel(call.value, force=is_forced(call.body))
        return json_answer(202 if cancelled.was_stopping else 200, {"id": cancelled.shape.id})

    async def reschedule_old(self, call: Call) -> Answer:
        return json_answer(200, {"id": (await self._move(call)).id})

    async def _move(self, call: Call) -> ExecutionShape:
        run_at = start_at(decoded(Move, call.body).schedule_for, self._clock())
        return await self._steerer.reschedule(call.value, run_at)


def whole(status: int, shape: ExecutionShape) -> Answer:
    """An answer with the execution in its envelope."""
    return json_answer(status, Data(shape))
