"""The checker of durable chaos finds each kind of damage that it is there for."""

import pytest
from msgspec import Raw

from chaos.checker import History
from chaos.durable_checker import check_durable
from penstock.domain.execution import facts as f
from penstock.wire.codec import encode_fact
from penstock.wire.names import Names

NAMES = Names("dev")
ID, CHILD = "0" * 32, "1" * 32
FIRST = f.Enqueued(n=1, at=1, function="together", args=Raw(b'["k1"]'), trace_id=ID)
STARTED = f.Started(n=2, at=2, activation=1, attempt=1, runner="r")
STEP = f.StepCompleted(n=3, at=3, attempt=1, step="one", started_at=2, result=Raw(b'"a"'), undo=True)
CALLED = f.ChildCalled(n=4, at=4, call="twig", children=[f.Child(id=CHILD, function="twig")])
TOLD = f.ChildCompleted(n=5, at=5, call="twig", child=CHILD, state="succeeded", result=Raw(b'"x"'))
GOT = b'{"steps":{"one":"a"},"got":["twig %s-0"]}' % ID.encode()
DONE = f.Succeeded(n=6, at=6, attempt=1, result=Raw(GOT))
BEGUN = (FIRST, STARTED, STEP)
GOOD = (*BEGUN, CALLED, TOLD, DONE)
CHILD_FACTS = (
    f.Enqueued(n=1, at=4, function="twig", args=Raw(b'["c"]'), trace_id=ID, parent_id=ID),
    f.Started(n=2, at=4, activation=1, attempt=1, runner="r"),
    f.Succeeded(n=3, at=4, attempt=1, result=Raw(b'"twig c"')),
)
SLEEPING = f.WaitOpened(n=4, at=4, waits=[f.Wait(key="sleep", wait="sleep", until=9)], suspends=True, wakes_at=9)
FAILED = f.Failed(n=4, at=4, attempt=1, error=f.ErrorInfo(code="user_error", message="no"))
MESSAGE = f.MessageReceived(n=4, at=4, message="m", channel="default")


def complaints(
    facts: tuple[f.AnyFact, ...],
    child: tuple[f.AnyFact, ...] = (),
    messages: tuple[str, ...] = (),
    effects: tuple[dict[str, str], ...] = (),
) -> str:
    """What is said of one execution and perhaps its child."""
    entries = [(NAMES.fact_subject(ID, "together", "fact"), encode_fact(fact)) for fact in facts]
    entries += [(NAMES.fact_subject(CHILD, "twig", "fact"), encode_fact(fact)) for fact in child]
    found = History(NAMES)
    found.add((number, subject, data) for number, (subject, data) in enumerate(entries, 1))
    return "\n".join(check_durable(found, effects, dict.fromkeys(messages, ID), 60_000_000))


def test_a_sound_log_raises_no_complaint() -> None:
    """Else the rest would prove nothing."""
    assert complaints(GOOD, CHILD_FACTS) == ""


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (complaints(GOOD), "was never made"),
        (complaints(GOOD[:4], CHILD_FACTS), "was not told"),
        (complaints(GOOD, CHILD_FACTS[:2]), "was told that"),
        (complaints((*BEGUN, SLEEPING)), "its wait sleep was over"),
        (complaints((*BEGUN, FAILED)), "did not undo"),
        (complaints((*GOOD[:5], f.Succeeded(n=6, at=6, attempt=1, result=Raw(GOT.replace(b'"a"', b'"b"')))),
                    CHILD_FACTS), "its code saw the steps"),
        (complaints((*GOOD[:5], f.Succeeded(n=6, at=6, attempt=1, result=Raw(GOT.replace(b"-0", b"-1")))),
                    CHILD_FACTS), "it got"),
        (complaints(GOOD, CHILD_FACTS, ("m",)), "is not in the log"),
        (complaints((*BEGUN, MESSAGE, MESSAGE), messages=("m",)), "was kept 2"),
        (complaints(GOOD, CHILD_FACTS, effects=({"what": "undo", "value": "b"},)), "which no step has stored"),
    ],
)  # fmt: skip
def test_damage_is_found(found: str, sentence: str) -> None:
    """Each kind by a sentence of its own."""
    assert sentence in found
