"""Batches of spans that a collector refuses, sent in parts."""

from collections.abc import Callable, Sequence

from penstock.telemetry.encode import EncodedSpan
from penstock.telemetry.sender import Verdict, well_formed

GOOD: EncodedSpan = ("runner", b"good")
BAD: EncodedSpan = ("runner", b"bad")
Send = Callable[[Sequence[EncodedSpan]], Verdict]


def collector(taken: list[EncodedSpan], answers: int = 100) -> Send:
    """One that refuses what holds a bad span, and is gone after so many answers."""
    asked = iter(range(answers))

    def send(batch: Sequence[EncodedSpan]) -> Verdict:
        if next(asked, None) is None:
            return Verdict.LATER
        if BAD in batch:
            return Verdict.REFUSED
        taken.extend(batch)
        return Verdict.TAKEN

    return send


def test_only_what_is_refused_alone_is_left_out() -> None:
    """Wherever in the batch it stands."""
    for place in range(9):
        batch = [GOOD] * 9
        batch[place] = BAD
        assert well_formed(collector([]), batch) == 8


def test_a_collector_that_goes_away_meanwhile_gets_the_whole_batch_again() -> None:
    """What it had no time to refuse is not left out."""
    batch = [GOOD, GOOD, BAD, GOOD, GOOD]
    needed = next(answers for answers in range(20) if well_formed(collector([], answers), batch) is not None)
    taken: list[EncodedSpan] = []
    assert well_formed(collector(taken, needed), batch) == 4
    assert taken.count(GOOD) >= 4
    assert needed > 3


def test_a_batch_of_which_nothing_is_taken_is_kept() -> None:
    """The fault is not in the spans then."""
    assert well_formed(collector([]), [BAD, GOOD, BAD]) is None
    assert well_formed(collector([]), [BAD]) is None
