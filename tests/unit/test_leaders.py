"""Whose followers join next: many leaders in one batch, restless ones alone and in turn."""

from penstock_scheduler.leaders import AT_ONCE_MAX, Leaders


def test_leaders_share_a_batch() -> None:
    """Up to so many; a refused batch makes the next one smaller, a stored one larger."""
    leaders, names = Leaders(), [f"l{number}" for number in range(AT_ONCE_MAX + 1)]
    chosen = leaders.next(names)
    assert chosen == names[:-1]
    leaders.refused(chosen)
    smaller = leaders.next(names)
    assert len(smaller) < len(chosen)
    leaders.stored()
    assert len(leaders.next(names)) == 2 * len(smaller)


def test_a_leader_that_never_rests_holds_up_nobody() -> None:
    """However often it is refused, the others are tried with it left out, and it is tried again and again."""
    leaders, names = Leaders(), ["hot", "a", "b", "c"]
    stored: set[str] = set()
    tries = 0
    for _ in range(20):
        chosen = leaders.next([each for each in names if each not in stored])
        if "hot" in chosen:
            tries += len(chosen) == 1
            leaders.refused(chosen)
        else:
            stored.update(chosen)
            leaders.stored()
    assert stored == {"a", "b", "c"}
    assert tries > 5


def test_several_restless_leaders_take_turns() -> None:
    """None of them waits for the others to rest."""
    leaders = Leaders()
    seen: list[str] = []
    for _ in range(12):
        chosen = leaders.next(["x", "y"])
        seen += chosen if len(chosen) == 1 else []
        leaders.refused(chosen)
    assert {"x", "y"} <= set(seen[-4:])
    assert leaders.next([]) == []
