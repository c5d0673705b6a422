"""HTTP: running the same again, from the beginning or from a later step."""

import msgspec
import uuid_utils
from litestar.handlers import HTTPRouteHandler
from msgspec.structs import replace

from penstock.domain.execution.create import Origin, enqueued, link_to, rerun_carried, same_time
from penstock.domain.execution.facts import Enqueued
from penstock.domain.function.options import CallOptions, ResolvedOptions, resolve
from penstock.domain.ids import keyed_execution_id
from penstock.domain.trace import Carried
from penstock.ports import Clock, ExecutionLog, ObjectStore
from penstock.service.direct import Call, direct_post
from penstock.service.problems import Answer
from penstock.service.restart import store_inherited
from penstock_ingest.accept import Accepted, Acceptor
from penstock_ingest.drafts import Draft, Drafter
from penstock_ingest.executions import accepted_answer, carried_by, idempotency_key
from penstock_ingest.steering import known_form, parse_body, unknown_execution


class RerunBody(msgspec.Struct, forbid_unknown_fields=True):
    """Nothing: the same function with the same arguments runs again, as a new execution.

    With `from_step`, what was finished before that step (or wait, or call) is taken over and does not run again.
    """

    from_step: str | None = None


class RerunRoutes:
    """`POST /v1/executions/{id}/rerun`."""

    def __init__(
        self,
        environment: str,
        log: ExecutionLog,
        objects: ObjectStore,
        drafter: Drafter,
        acceptor: Acceptor,
        clock: Clock,
    ) -> None:
        self._environment = environment
        self._log = log
        self._objects = objects
        self._drafter = drafter
        self._acceptor = acceptor
        self._clock = clock

    def handlers(self) -> list[HTTPRouteHandler]:
        return [
            direct_post(
                "/v1/executions/{id}/rerun", self.rerun, operation_id="rerunExecution",
                summary="Run the same again as a new execution, from the beginning or from a step.",
                body=RerunBody, answer=Accepted, example={"from_step": "charge"},
            ),
        ]  # fmt: skip

    async def rerun(self, call: Call) -> Answer:
        body = parse_body(call, RerunBody)
        key = idempotency_key(call)
        draft = await self.draft(call.value, carried_by(call), key=key, from_step=body.from_step)
        return accepted_answer(await self._acceptor.accept(draft))

    async def draft(
        self, execution_id: str, given: Carried, *, key: str | None = None, from_step: str | None = None
    ) -> Draft:
        """The first fact of the new execution. Raises Rejected, `unknown_execution` among others."""
        recorded = await self._log.find(known_form(execution_id))
        first = recorded[0].fact if recorded else None
        if not isinstance(first, Enqueued):
            raise unknown_execution(execution_id)
        spec = self._drafter.function(first.function)
        resolve(CallOptions(idempotency_key=key), 0)
        options = ResolvedOptions(
            run_at=None,
            discard_at=None,
            deadline_at=same_time(first, self._clock()),
            metadata=first.metadata,
            idempotency_key=key,
            priority=first.priority,
            retries=first.retries,
            timeout=first.timeout,
        )
        origin = Origin(
            carried=rerun_carried(first, given),
            links=[link_to(first, execution_id)],
            event=first.event,
            event_id=first.event_id,
            rerun_of=execution_id,
        )
        new_id = uuid_utils.uuid7().hex
        if key is not None:
            # A scope of its own: the key of a call and the key of a rerun never mean the same execution.
            new_id = keyed_execution_id(self._environment, f"rerun {execution_id}", key)
        fact = enqueued(
            new_id, spec.name, first.args, first.kwargs, options, self._clock(), origin, first.arguments_ref
        )
        fact = replace(fact, keys=first.keys, members=first.members, policy=first.policy)
        if from_step is not None:
            ref = await store_inherited(recorded, from_step, new_id, self._objects)
            fact = replace(fact, inherited_ref=ref, restarted_from=from_step)
        return Draft(new_id, fact)
