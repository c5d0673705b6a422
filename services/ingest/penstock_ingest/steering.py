"""Commands about executions that exist: carried out, told to the runner at work, answered."""

from typing import TypeVar

import msgspec

from penstock.domain.errors import Rejected
from penstock.domain.execution.commands import AnyCommand
from penstock.domain.ids import is_execution_id
from penstock.handle import Handled, handle
from penstock.jetstream.inbox import Hints
from penstock.ports import Clock, Dice, ExecutionLog
from penstock.service.direct import Call
from penstock.service.problems import Answer
from penstock_ingest.accept import Acceptor
from penstock_ingest.drafts import decode_strictly
from penstock_ingest.executions import accepted_answer, require_json

Body = TypeVar("Body", bound=msgspec.Struct)


class Steering:
    """The way from a door to `decide`."""

    def __init__(self, log: ExecutionLog, acceptor: Acceptor, hints: Hints, clock: Clock, dice: Dice) -> None:
        self._log = log
        self._acceptor = acceptor
        self._hints = hints
        self._clock = clock
        self._dice = dice

    async def carry_out(self, execution_id: str, command: AnyCommand) -> Handled:
        """Carry out the command. Raises Rejected, `unknown_execution` also for what is no id at all."""
        try:
            return await handle(self._log, known_form(execution_id), command, self._clock, self._dice)
        except Rejected as refusal:
            raise unknown_execution(execution_id) if refusal.code == "unknown_execution" else refusal from None

    async def tell(self, handled: Handled) -> None:
        """Let the runner that is at work on it look at once, if something has happened."""
        if handled.facts and handled.state.owner:
            await self._hints.look(handled.state.owner, handled.state.id)

    def answer(self, handled: Handled) -> Answer:
        """202 with the execution as it is now."""
        state = handled.state
        return accepted_answer(self._acceptor.accepted(state.id, state.trace_id, state.state, state.sequence))


def parse_body(call: Call, kind: type[Body]) -> Body:
    """The body of a request whose members are options; none is the same as `{}`. Raises Rejected."""
    require_json(call)
    try:
        parsed: Body = decode_strictly(msgspec.json.Decoder(kind), call.body or b"{}")
    except Rejected as refusal:
        code = "invalid_option" if refusal.code == "invalid_arguments" else refusal.code
        raise Rejected(code, refusal.detail, pointers=refusal.pointers, **refusal.members) from None
    return parsed


def known_form(execution_id: str) -> str:
    """The same id. Raises Rejected `unknown_execution` for what cannot be one."""
    if not is_execution_id(execution_id):
        raise unknown_execution(execution_id)
    return execution_id


def unknown_execution(execution_id: str) -> Rejected:
    return Rejected("unknown_execution", f"There is no execution {execution_id[:80]!r}.")
