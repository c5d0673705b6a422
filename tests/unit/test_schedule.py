"""What becomes of ticks: given this history, at this time, this is decided."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from penstock.domain.ids import tick_execution_id
from penstock.domain.schedule import facts as f
from penstock.domain.schedule.decide import backfill_ticks, jitter_of, wakes_at
from penstock.domain.schedule.start import tick_enqueued
from penstock.domain.schedule.state import fold
from schedules import ENVIRONMENT, KEY, SECOND, History, at, clock, fired, ledger, spec


def live(history: History) -> tuple[str, ...]:
    return tuple(history.state.cursor.live)


def test_a_tick_makes_one_execution_whose_id_is_a_hash_of_schedule_and_tick() -> None:
    """And says when the next one is due."""
    history = History(spec())
    decision = history.now("00:01:00.120")
    assert [each.execution_id for each in decision.fire] == [tick_execution_id(ENVIRONMENT, KEY, at("00:01:00"))]
    assert ledger(decision) == [("00:01:00", "fired", "", 1)]
    assert decision.fact is not None
    assert decision.fact.entries[0].late_ms == 120
    assert decision.wakes_at == at("00:02:00")


def test_the_event_of_a_tick_tells_which_it_is_and_the_next() -> None:
    """What a function with a schedule may ask for."""
    first = tick_enqueued(
        KEY, tick_execution_id(ENVIRONMENT, KEY, at("00:01:00")), at("00:01:00"), spec(), at("00:01:01")
    )
    assert first.event is not None
    data = msgspec.json.decode(first.event)["data"]
    assert data == {"schedule": KEY, "tick": "2026-01-01T00:01:00.000000Z", "next": "2026-01-01T00:02:00.000000Z"}


def test_before_its_tick_nothing_is_decided() -> None:
    """A wake-up that comes early, twice or late changes nothing."""
    history = History(spec())
    assert history.now("00:00:59.999").fact is None
    history.now("00:01:00")
    assert history.now("00:01:00").fact is None
    assert history.now("00:01:30").wakes_at == at("00:02:00")


def test_a_clock_that_jumps_back_repeats_nothing() -> None:
    """Two hours back."""
    history = History(spec(), "2025-12-31T20:00:00")
    history.now("2025-12-31T23:59:00")
    decision = history.now("2025-12-31T21:59:00")
    assert decision.fact is None
    assert decision.wakes_at == at("00:00:00")


def test_a_tick_that_starts_late_says_by_how_much() -> None:
    """More than a second."""
    decision = History(spec()).now("00:01:01.500")
    assert ledger(decision) == [("00:01:00", "late", "", 1)]


def test_latest_makes_up_for_the_latest_missed_tick_only() -> None:
    """An hour's outage; the others are in the ledger."""
    decision = History(spec(catch_up="latest")).now("01:00:30")
    assert ledger(decision) == [("00:01:00", "skipped", "missed", 59), ("01:00:00", "late", "caught_up", 1)]


def test_latest_leaves_the_missed_ones_when_one_is_due_in_time() -> None:
    """The newest is what counts."""
    decision = History(spec(catch_up="latest")).now("01:00:00.100")
    assert ledger(decision) == [("00:01:00", "skipped", "missed", 59), ("01:00:00", "fired", "", 1)]


def test_skip_makes_up_for_nothing() -> None:
    """Every missed tick is in the ledger."""
    decision = History(spec(catch_up="skip")).now("01:00:30")
    assert ledger(decision) == [("00:01:00", "skipped", "missed", 60)]


def test_all_makes_up_for_all_up_to_the_cap() -> None:
    """A hundred; older ones are skipped and say why."""
    decision = History(spec(catch_up="all")).now("03:00:30")
    assert ledger(decision)[0] == ("00:01:00", "skipped", "catch_up_cap", 80)
    assert fired(decision)[0] == "01:21:00"
    assert fired(decision)[-1] == "03:00:00"
    assert len(decision.fire) == 100


def test_a_year_without_a_scheduler_does_not_make_a_flood() -> None:
    """Counting stops at a thousand; the span says the rest."""
    decision = History(spec(catch_up="latest"), "2025-01-01T00:00:00").now("00:00:30")
    assert fired(decision) == ["00:00:00"]
    assert decision.fact is not None
    first = decision.fact.entries[0]
    assert (first.tick, first.until, first.count) == (at("2025-01-01T00:01:00"), at("2025-12-31T23:59:00"), 1000)


def test_allow_starts_whatever_still_runs() -> None:
    """Nobody looks."""
    history = History(spec())
    history.now("00:01:00")
    assert live(history) == ()
    assert fired(history.now("00:02:00")) == ["00:02:00"]


def test_skip_leaves_out_ticks_while_one_runs() -> None:
    """It starts again when the execution is final."""
    history = History(spec(overlap="skip"))
    history.now("00:01:00")
    assert ledger(history.now("00:02:00", *live(history))) == [("00:02:00", "skipped", "overlap", 1)]
    assert fired(history.now("00:03:00")) == ["00:03:00"]


def test_buffer_one_keeps_one_tick_for_later() -> None:
    """The next are skipped; the kept one starts when the way is free."""
    history = History(spec(overlap="buffer_one"))
    history.now("00:01:00")
    running = live(history)
    assert ledger(history.now("00:02:00", *running)) == [("00:02:00", "buffered", "", 1)]
    assert ledger(history.now("00:03:00", *running)) == [("00:03:00", "skipped", "overlap", 1)]
    assert history.now("00:03:10", *running).fact is None
    assert ledger(history.now("00:03:20")) == [("00:02:00", "late", "buffered", 1)]
    assert history.state.cursor.buffered is None


def test_cancel_old_stops_what_runs() -> None:
    """Then it starts."""
    history = History(spec(overlap="cancel_old"))
    history.now("00:01:00")
    running = live(history)
    decision = history.now("00:02:00", *running)
    assert decision.cancel == list(running)
    assert fired(decision) == ["00:02:00"]
    assert len(live(history)) == 1


def test_cancel_old_starts_only_the_newest_of_many() -> None:
    """The others would be cancelled at once."""
    decision = History(spec(overlap="cancel_old", catch_up="all")).now("00:05:30")
    assert fired(decision) == ["00:05:00"]
    assert [entry[2] for entry in ledger(decision)][:4] == ["overlap"] * 4


def test_a_pause_skips_its_ticks_and_says_so() -> None:
    """When it is resumed."""
    history = History(spec())
    history.now("00:01:00")
    history.pause("00:01:30")
    assert history.now("00:05:00").fact is None
    assert history.now("00:05:00").wakes_at is None
    history.resume("00:05:30")
    assert wakes_at(history.state, history.state.cursor, at("00:05:30")) == at("00:06:00")
    assert ledger(history.now("00:06:00")) == [("00:02:00", "skipped", "paused", 4), ("00:06:00", "fired", "", 1)]


def test_an_edit_at_the_tick_gives_the_old_or_the_new_never_both() -> None:
    """What was due before the edit is decided by what held then."""
    history = History(spec())
    history.put("00:01:00.050", spec(cron="30 * * * *"))
    assert wakes_at(history.state, history.state.cursor, at("00:01:00.050")) == at("00:01:00")
    assert ledger(history.now("00:01:00.100")) == [("00:01:00", "fired", "", 1)]
    assert history.now("00:02:00").fact is None
    assert fired(history.now("00:30:00")) == ["00:30:00"]


def test_a_deleted_schedule_never_ticks() -> None:
    """Not even for what was due a moment before."""
    history = History(spec())
    history.delete("00:01:00.050")
    decision = history.now("00:01:00.100")
    assert (decision.fact, decision.wakes_at) == (None, None)


def test_a_schedule_made_anew_knows_nothing_of_its_former_life() -> None:
    """No tick of the time between, and no kept one."""
    history = History(spec(overlap="buffer_one"))
    history.now("00:01:00")
    history.now("00:02:00", *live(history))
    history.delete("00:02:30")
    history.put("00:10:30", spec())
    assert ledger(history.now("00:11:00")) == [("00:11:00", "fired", "", 1)]


def test_jitter_is_the_same_for_everybody_and_stays_before_the_next_tick() -> None:
    """Between the tick and the end of the window."""
    one = spec(jitter="30s")
    spread = [jitter_of(KEY, at("00:01:00") + minute * 60 * SECOND, one) for minute in range(200)]
    assert all(0 <= each < 30 * SECOND for each in spread)
    assert max(spread) > 20 * SECOND
    assert len(set(spread)) > 150
    assert jitter_of(KEY, at("00:01:00"), one) == spread[0] != jitter_of("other", at("00:01:00"), one)


def test_a_tick_with_jitter_starts_when_its_own_time_has_come() -> None:
    """Not before, and it is not late then."""
    history = History(spec(jitter="30s"))
    due = at("00:01:00") + jitter_of(KEY, at("00:01:00"), spec(jitter="30s"))
    decision = history.now(clock(due - SECOND))
    assert (decision.fact, decision.wakes_at) == (None, due)
    assert ledger(history.now(clock(due + SECOND))) == [("00:01:00", "fired", "", 1)]


def test_a_backfill_during_a_pause_runs_what_the_pause_left_out() -> None:
    """And the ordinary way never decides these ticks again."""
    history = History(spec())
    history.now("00:01:00")
    history.pause("00:02:30")
    history.add(f.BackfillRequested(at=at("00:04:30"), key=KEY, start=at("00:02:00"), end=at("00:04:30")))
    skipped = ledger(history.now("00:04:31"))
    assert skipped == [("00:02:00", "skipped", "paused", 1), ("00:03:00", "skipped", "paused", 2)]
    assert fired(history.fill("00:04:31")) == ["00:02:00", "00:03:00", "00:04:00"]
    history.resume("00:05:30")
    assert ledger(history.now("00:06:00")) == [("00:05:00", "skipped", "paused", 1), ("00:06:00", "fired", "", 1)]


def test_an_execution_that_exists_is_not_made_again() -> None:
    """The ledger says that the tick had fired."""
    history = History(spec())
    again = tick_execution_id(ENVIRONMENT, KEY, at("00:01:00"))
    decision = history.now("00:00:30")
    assert decision.fact is None
    history.add(f.BackfillRequested(at=at("00:10:00"), key=KEY, start=at("00:01:00"), end=at("00:03:00")))
    history.now("00:10:00.1")
    decision = history.fill("00:10:00.1", (again,))
    assert ledger(decision) == [
        ("00:01:00", "skipped", "already_fired", 1),
        ("00:02:00", "fired", "backfilled", 1),
        ("00:03:00", "fired", "backfilled", 1),
    ]
    assert history.state.requests == []


def test_a_backfill_uses_the_expression_that_held_at_each_time() -> None:
    """Before it was made, the first one; across an edit, both; nothing while it was deleted."""
    history = History(spec(cron="0 * * * *"), "2026-01-01T02:00:00")
    history.put("04:30:00", spec(cron="30 * * * *"))
    history.delete("06:00:00")
    history.put("08:00:00", spec(cron="15 * * * *"))
    ticks = backfill_ticks(history.state, at("00:30:00"), at("09:00:00"), 100)
    assert [clock(each.tick)[:5] for each in ticks] == ["01:00", "02:00", "03:00", "04:00", "05:30", "08:15"]


def test_a_backfill_leaves_a_kept_tick_alone() -> None:
    """It starts by itself when the way is free."""
    history = History(spec(overlap="buffer_one"))
    history.now("00:01:00")
    history.now("00:02:00", *live(history))
    history.add(f.BackfillRequested(at=at("00:02:10"), key=KEY, start=at("00:02:00"), end=at("00:02:10")))
    assert fired(history.fill("00:02:10")) == []
    assert fired(history.now("00:02:20")) == ["00:02:00"]


def test_a_large_backfill_goes_on_where_it_stopped() -> None:
    """A hundred at a time, each once."""
    history = History(spec(), "2025-12-31T20:00:00")
    history.pause("2025-12-31T20:00:30")
    history.add(f.BackfillRequested(at=at("00:00:00"), key=KEY, start=0, end=at("2025-12-31T23:59:59")))
    history.add(
        f.BackfillRequested(at=at("00:00:00"), key=KEY, start=at("2025-12-31T20:30:00"), end=at("2025-12-31T23:29:00"))
    )
    state = history.state
    assert wakes_at(state, state.cursor, at("00:00:00")) == at("00:00:00")
    history.facts[-2] = f.BackfillRequested(
        at=at("00:00:00"), key=KEY, start=at("2025-12-31T20:01:00"), end=at("2025-12-31T22:30:00")
    )
    history.now("00:00:01")
    pieces = [history.fill("00:00:01") for _ in range(4)]
    assert [len(each.fire) for each in pieces] == [100, 50, 100, 80]
    assert history.state.requests == []
    assert wakes_at(history.state, history.state.cursor, at("00:00:02")) is None


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["now", "pause", "resume", "put", "delete", "backfill"]),
        st.integers(1, 400),
        st.sampled_from(["allow", "skip", "buffer_one", "cancel_old"]),
        st.sampled_from(["latest", "all", "skip"]),
        st.booleans(),
    ),
    max_size=25,
)


@settings(max_examples=examples(150), deadline=None)
@given(actions=ACTIONS)
def test_any_history_gives_each_tick_at_most_one_execution_and_one_end(
    actions: list[tuple[str, int, str, str, bool]],
) -> None:
    """Whatever people do, a fold of what they said and the last tick fact equals the fold of everything."""
    history = History(spec())
    moment = at("00:00:00")
    made: list[str] = []
    ended: list[int] = []
    for action, seconds, overlap, catch_up, busy in actions:
        moment += seconds * SECOND
        when = clock(moment)
        state = history.state
        if action == "now":
            decision = history.now(when, *(state.cursor.live if busy else ()))
            made += [each.execution_id for each in decision.fire]
            for entry in decision.fact.entries if decision.fact is not None else ():
                ended += [entry.tick] if entry.outcome != "buffered" else []
        elif action == "put":
            history.put(when, spec(cron="*/2 * * * *", overlap=overlap, catch_up=catch_up))
        elif action == "backfill" and state.spec is not None:
            history.add(f.BackfillRequested(at=moment, key=KEY, start=at("00:00:00"), end=moment))
            decision = history.now(when)
            made += [each.execution_id for each in decision.fire]
            for entry in decision.fact.entries if decision.fact is not None else ():
                ended += [entry.tick] if entry.outcome != "buffered" else []
            if history.state.requests:
                made += [each.execution_id for each in history.fill(when, tuple(made)).fire]
        elif action in ("pause", "resume", "delete") and state.spec is not None:
            getattr(history, action)(when)
    assert len(made) == len(set(made))
    assert len(ended) == len(set(ended))
    ticks = [index for index, fact in enumerate(history.facts) if isinstance(fact, f.Ticked)]
    short = [(n, fact) for n, fact in enumerate(history.facts, 1) if n - 1 not in ticks[:-1]]
    assert msgspec.json.encode(fold(short)) == msgspec.json.encode(history.state)


def test_only_a_put_may_come_first() -> None:
    """Anything else is a log without its beginning."""
    with pytest.raises(ValueError, match="schedule_put"):
        fold([(1, f.SchedulePaused(at=0, key=KEY))])
