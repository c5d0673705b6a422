"""Given these facts, when this command comes, then those follow: the rules as claims, without a server or a clock."""

from typing import Self

from penstock.domain.errors import Rejected
from penstock.domain.execution.commands import AnyCommand
from penstock.domain.execution.decide import decide
from penstock.domain.execution.evolve import evolve, fold
from penstock.domain.execution.facts import AnyFact, Unknown
from penstock.domain.execution.state import Execution

EXECUTION_ID = "0190a5d4c3b27e6f8a9b0c1d2e3f4a5b"
"""The id that executions have in here."""


class Outcome:
    """What the rules answered; each claim about it returns it again, so that claims can be chained."""

    def __init__(self, before: Execution | None, answer: list[AnyFact] | Rejected) -> None:
        self.answer = answer
        self.state = before
        """The execution afterwards."""
        if isinstance(answer, list):
            for fact in answer:
                self.state = evolve(self.state, EXECUTION_ID, fact)

    def then(self, *facts: AnyFact) -> Self:
        """Exactly these facts follow."""
        assert self.answer == list(facts), f"\nexpected {list(facts)}\nbut got  {self.answer!r}"
        return self

    def nothing(self) -> Self:
        """Nothing has to happen."""
        return self.then()

    def rejected(self, code: str) -> Self:
        """The state forbids the command, for the reason with this code."""
        assert isinstance(self.answer, Rejected), f"expected {code}, but got {self.answer!r}"
        assert self.answer.code == code, f"expected {code}, but got {self.answer.code}: {self.answer.detail}"
        return self


class Given:
    """An execution with a history."""

    def __init__(self, state: Execution | None) -> None:
        self.state = state

    def when(self, command: AnyCommand, now: int = 0, dice: float = 0.0) -> Outcome:
        """The command comes at `now` (microseconds); `dice` is a number in [0, 1)."""
        try:
            return Outcome(self.state, decide(self.state, command, now, dice))
        except Rejected as rejected:
            return Outcome(self.state, rejected)


def given(*facts: AnyFact | Unknown) -> Given:
    """An execution to which these facts have happened, in this order; none: it does not exist."""
    return Given(fold(EXECUTION_ID, enumerate(facts, start=1)))
