"""One delivery: its timetable, its end, and a second life."""

from penstock.domain.notify.delivery import ATTEMPTS_MAX, Delivery, Refusal, evolve, failed, fold
from penstock.domain.notify.notice import Notice
from penstock.domain.system import NotificationDue, NotificationFailed, NotificationReplayed, NotificationSent

NOTICE = Notice(id="n1", rule="r", about="failed", at=1, text="It failed.")
HOUR = 3600.0


def due() -> Delivery:
    state = evolve(None, NotificationDue(at=0, channel="ops", notice=NOTICE), 7)
    assert state is not None
    return state


def test_a_receiver_that_is_down_is_tried_on_the_timetable_of_standard_webhooks() -> None:
    """Ten times over about three days, then never again."""
    state, now, pauses = due(), 0, []
    while state.next_at is not None:
        pauses.append((state.next_at - now) / 1_000_000)
        now = state.next_at
        after = evolve(state, failed(state, Refusal("503"), now, dice=0.0), state.sequence + 1)
        assert after is not None
        state = after
    assert pauses == [0, 5, 300, 1800, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR]
    assert (state.state, state.tries, len(state.attempts)) == ("dead", ATTEMPTS_MAX, 10)


def test_pauses_are_a_little_longer_by_chance() -> None:
    """At most a tenth."""
    fact = failed(due(), Refusal("503"), 0, dice=0.999)
    assert fact.next_at is not None
    assert 5_000_000 < fact.next_at < 5_500_000


def test_a_receiver_that_asks_for_time_gets_it() -> None:
    """`Retry-After` beyond the timetable counts, up to a day."""
    assert failed(due(), Refusal("429", after=60_000_000), 0, 0.0).next_at == 60_000_000
    assert failed(due(), Refusal("429", after=1), 0, 0.0).next_at == 5_000_000
    assert failed(due(), Refusal("429", after=10**15), 0, 0.0).next_at == 24 * 3600 * 1_000_000


def test_a_receiver_that_is_gone_is_not_tried_again() -> None:
    """410 ends it at the first attempt."""
    assert failed(due(), Refusal("410", gone=True), 5, 0.0).next_at is None


def test_a_replay_begins_the_timetable_again() -> None:
    """With the same notice and id, and all attempts still listed."""
    facts = [
        NotificationDue(at=0, channel="ops", notice=NOTICE),
        NotificationFailed(at=1, detail="410", next_at=None),
        NotificationReplayed(at=2, author="ada"),
    ]
    state = fold(enumerate(facts, start=1))
    assert state is not None
    assert (state.state, state.next_at, state.tries, state.sequence) == ("due", 2, 0, 3)
    sent = evolve(state, NotificationSent(at=3, detail="204", receipt={"ts": "1"}), 4)
    assert sent is not None
    assert (sent.state, sent.is_open, sent.receipt, sent.notice.id) == ("sent", False, {"ts": "1"}, "n1")
    assert [each.ok for each in sent.attempts] == [False, True]


def test_a_second_due_changes_nothing() -> None:
    """It is the same notice again."""
    state = due()
    assert evolve(state, NotificationDue(at=9, channel="ops", notice=NOTICE), 9) is state
    assert evolve(None, NotificationSent(at=9), 9) is None
