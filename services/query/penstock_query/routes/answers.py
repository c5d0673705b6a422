"""How every route answers: with the position that the answer reflects, and with streams for large values."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from litestar import Request, Response
from litestar.params import QueryParameter
from litestar.response import Stream

from penstock.domain.errors import Rejected
from penstock_query.cursors import Cursor, around, decode_cursor, encode_cursor, fingerprint
from penstock_query.history import Value
from penstock_query.queries import Paging, Query
from penstock_query.reads import Found
from penstock_query.shapes import Page
from penstock_query.view import View

S = TypeVar("S")
T = TypeVar("T")

SEQUENCE = "Penstock-Sequence"

AnyRequest = Request[Any, Any, Any]


def parameter(name: str, description: str) -> Any:
    """A documented query parameter. It is declared as text, so that our own checks name what is wrong with it."""
    return QueryParameter(name=name, description=description)


AFTER = parameter("after", "Wait until the view has reached this sequence (`x:<n>` or `e:<n>`) of an earlier answer.")
LIMIT = parameter("limit", "Items on a page: 1 to 500, by default 50.")
CURSOR = parameter("cursor", "`next` or `previous` of another page of the same list.")

After = Annotated[str | None, AFTER]
Limit = Annotated[str | None, LIMIT]
CursorText = Annotated[str | None, CURSOR]


def asked(request: AnyRequest) -> Query:
    """The request's parameters, to be checked by whoever takes them."""
    return Query(list(request.query_params.multi_items()))


async def settled(view: View, query: Query) -> None:
    """Refuse parameters that nobody took, then wait for `after`: a typing error should not take a minute to show."""
    after = query.after()
    query.finish()
    await view.reach(after)


async def begun(view: View, query: Query, filters: str, kind: type[int] | type[str] = int) -> tuple[int, Cursor | None]:
    """How many items a page of the view takes and where it begins; all parameters are checked before any waiting."""
    paging = query.paging()
    cursor = decode_cursor(paging.cursor, filters, kind)
    await settled(view, query)
    return paging.limit, cursor


def positioned(content: T, position: int, status: int = 200, headers: Mapping[str, str] | None = None) -> Response[T]:
    """A JSON answer with the position that it reflects in its header."""
    return Response(content, status_code=status, headers={SEQUENCE: f"x:{position}", **(headers or {})})


def page(found: Found[Any], data: list[T], filters: str) -> Response[Page[T]]:
    """A page of a list of the view."""
    content = Page(
        data=data,
        next=encode_cursor(found.next, filters),
        previous=encode_cursor(found.previous, filters),
        sequence=f"x:{found.position}",
    )
    return positioned(content, found.position)


def slice_page(items: Sequence[T], paging: Paging, name: str, position: int) -> Response[Page[T]]:
    """A page of a list that only grows at its end, such as the steps of an execution: oldest first, keyed by index."""
    return shaped_page(items, lambda item: item, paging, name, position)


def shaped_page(
    items: Sequence[S], shape: Callable[[S], T], paging: Paging, name: str, position: int
) -> Response[Page[T]]:
    """The same when shaping an item costs something: only those on the page are shaped."""
    filters = fingerprint(name)
    cursor = decode_cursor(paging.cursor, filters)
    if cursor is None:
        start, end = 0, min(paging.limit, len(items))
    elif cursor.backwards:
        end = min(int(cursor.key), len(items))
        start = max(0, end - paging.limit)
    else:
        start = min(int(cursor.key) + 1, len(items))
        end = min(start + paging.limit, len(items))
    backwards = cursor is not None and cursor.backwards
    following, previous = around(range(start, end), cursor, start > 0 if backwards else end < len(items))
    return page(Found([], following, previous, position), [shape(item) for item in items[start:end]], filters)


async def json_value(
    view: View,
    value: Value,
    position: int,
    headers: Mapping[str, str] | None = None,
    around: tuple[bytes, bytes] = (b"", b""),
) -> Response[Any]:
    """A JSON value, bare or with more JSON `around` it; a large one flows from the object store without being held
    here.
    """
    headers = {SEQUENCE: f"x:{position}", **(headers or {})}
    before, behind = around
    if value.reference is None:
        return Response(before + value.json + behind, media_type="application/json", headers=headers)
    chunks = view.objects.chunks(value.reference)
    try:
        # The first piece is fetched before the status is sent: a value that is not there is an error, not an empty 200.
        first = await anext(chunks)
    except (StopAsyncIteration, LookupError):
        raise Rejected("internal", f"The stored value {value.reference} is not in the object store.") from None
    return Stream(_from_first(before + first, chunks, behind), media_type="application/json", headers=headers)


async def _from_first(first: bytes, rest: AsyncIterator[bytes], behind: bytes) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk
    if behind:
        yield behind
