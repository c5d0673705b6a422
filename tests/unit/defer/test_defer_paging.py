"""Pages of Defer's lists: where they begin and end, and what they say of what lies around them."""

import itertools

import pytest

from penstock.domain.errors import Rejected
from penstock.domain.limits import page_items_default, page_items_max
from penstock_query.defer.paging import PageInfo, PageRequest, Stretch, page_of, stretch_of, walked
from penstock_query.defer.requests import asked

ROWS = [9, 8, 7, 6, 5, 4, 3, 2, 1]


def itself(key: int) -> int:
    return key


def page(request: PageRequest | None, rows: list[int] = ROWS) -> tuple[list[int], PageInfo]:
    """The page of a list of numbers."""
    stretch = stretch_of(request, "x")
    return page_of(walked(rows, itself, stretch), itself, stretch, "x")


def cursor(key: int) -> str:
    """The cursor of one row."""
    _, info = page(PageRequest(), [key])
    assert isinstance(info.end_cursor, str)
    return info.end_cursor


def around(info: PageInfo) -> tuple[bool, bool]:
    return info.has_prev_page, info.has_next_page


def test_the_first_page_is_the_newest() -> None:
    """Nothing lies before it."""
    rows, info = page(PageRequest(first=3))
    assert (rows, around(info)) == ([9, 8, 7], (False, True))
    assert (info.start_cursor, info.end_cursor) == (cursor(9), cursor(7))


def test_first_after_goes_on_behind_the_cursor() -> None:
    """The row of the cursor itself is not repeated."""
    rows, info = page(PageRequest(first=3, after=cursor(7)))
    assert (rows, around(info)) == ([6, 5, 4], (True, True))


def test_the_last_page_says_that_nothing_follows() -> None:
    """Also when it is full."""
    rows, info = page(PageRequest(first=3, after=cursor(4)))
    assert (rows, around(info)) == ([3, 2, 1], (True, False))


def test_last_before_takes_those_nearest_to_the_cursor() -> None:
    """In the order of the list, and without leaving out the nearest."""
    rows, info = page(PageRequest(last=3, before=cursor(4)))
    assert (rows, around(info)) == ([7, 6, 5], (True, True))


def test_going_back_ends_at_the_newest() -> None:
    """Nothing lies before it."""
    rows, info = page(PageRequest(last=3, before=cursor(6)))
    assert (rows, around(info)) == ([9, 8, 7], (False, True))


def test_last_alone_is_the_end_of_the_list() -> None:
    """The oldest, newest of them first."""
    rows, info = page(PageRequest(last=2))
    assert (rows, around(info)) == ([2, 1], (True, False))


def test_before_alone_stays_near_the_cursor() -> None:
    """A whole page before it."""
    many = list(range(1000, 0, -1))
    rows, _ = page(PageRequest(before=cursor(500)), many)
    assert (rows[0], rows[-1], len(rows)) == (500 + page_items_default, 501, page_items_default)


def test_before_goes_before_after() -> None:
    """With both given only `before` counts."""
    rows, info = page(PageRequest(first=2, after=cursor(3), before=cursor(7)))
    assert (rows, around(info)) == ([9, 8], (False, True))


def test_last_goes_before_first() -> None:
    """With both given only `last` counts."""
    rows, _ = page(PageRequest(first=4, last=1))
    assert rows == [1]


def test_an_empty_page_has_no_cursors() -> None:
    """They would lead nowhere."""
    rows, info = page(PageRequest(first=3, after=cursor(1)))
    assert (rows, info) == ([], PageInfo(has_next_page=False, has_prev_page=True))
    assert page(None, []) == ([], PageInfo(has_next_page=False, has_prev_page=False))


def test_a_page_of_none_tells_whether_there_are_any() -> None:
    """`first: 0` is no error."""
    assert page(PageRequest(first=0)) == ([], PageInfo(has_next_page=True, has_prev_page=False))


@pytest.mark.parametrize("size", range(1, 11))
def test_pages_one_after_the_other_are_the_whole_list(size: int) -> None:
    """Forwards and backwards, each row once."""
    forwards: list[int] = []
    request = PageRequest(first=size)
    for _ in itertools.repeat(None, 20):
        rows, info = page(request)
        forwards += rows
        if not info.has_next_page:
            break
        request = PageRequest(first=size, after=str(info.end_cursor))
    backwards: list[int] = []
    request = PageRequest(last=size)
    for _ in itertools.repeat(None, 20):
        rows, info = page(request)
        backwards = rows + backwards
        if not info.has_prev_page:
            break
        request = PageRequest(last=size, before=str(info.start_cursor))
    assert (forwards, backwards) == (ROWS, ROWS)


def test_a_cursor_is_not_the_key_in_the_open() -> None:
    """Nobody shall be tempted to make one."""
    assert "17" not in cursor(17)


@pytest.mark.parametrize("text", ["", "?", "eDo", "eDotMQ", "\u00e9", "YTox", "x:5", "eDo5OTk5OTk5OTk5OTk5OTk5OTk5OQ"])
def test_what_is_no_cursor_of_this_list_is_refused(text: str) -> None:
    """A guess would show another page without a word; `YTox` is a cursor of a list of attempts."""
    with pytest.raises(Rejected, match="Invalid page"):
        stretch_of(PageRequest(after=text), "x")


@pytest.mark.parametrize("name", ["first", "last"])
def test_the_size_of_a_page_has_a_limit(name: str) -> None:
    """At the edge, and one beyond on both sides."""
    for size in (0, page_items_max):
        stretch = asked(b'{"page":{"%s":%d}}' % (name.encode(), size), "x")[1]
        assert stretch == Stretch(size, name == "last")
    for size in (-1, page_items_max + 1):
        with pytest.raises(Rejected, match="Invalid page"):
            asked(b'{"page":{"%s":%d}}' % (name.encode(), size), "x")
