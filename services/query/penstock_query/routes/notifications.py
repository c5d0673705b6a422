"""The delivery log: what was told to which channel, and how that went."""

from typing import Annotated

from litestar import Response, get
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler

from penstock.domain.errors import Rejected
from penstock_query.cursors import fingerprint
from penstock_query.notifications import NotificationShape, notification_shape
from penstock_query.queries import notification_filter
from penstock_query.routes.answers import (
    After,
    AnyRequest,
    CursorText,
    Limit,
    asked,
    begun,
    page,
    parameter,
    settled,
)
from penstock_query.shapes import Page
from penstock_query.view import View

State = Annotated[str | None, parameter("state", "due, retrying, sent or dead; several separated by commas.")]
Channel = Annotated[str | None, parameter("channel", "Names of channels, separated by commas.")]
Rule = Annotated[str | None, parameter("rule", "Names of rules, separated by commas.")]
Function = Annotated[str | None, parameter("function", "Function names, separated by commas.")]
ExecutionId = Annotated[str | None, parameter("execution_id", "Only those about this execution.")]


def notification_routes(view: View) -> list[ControllerRouterHandler]:
    """/v1/notifications and one of them."""

    @get("/v1/notifications", operation_id="listNotifications", summary="List notifications, the latest first")
    async def list_notifications(
        request: AnyRequest,
        in_state: State = None,
        channel: Channel = None,
        rule: Rule = None,
        function: Function = None,
        execution_id: ExecutionId = None,
        limit: Limit = None,
        cursor: CursorText = None,
        after: After = None,
    ) -> Response[Page[NotificationShape]]:
        """One item per notification and channel, with every attempt to deliver it."""
        query = asked(request)
        wanted = notification_filter(query)
        found = await view.reads.notifications(wanted, *await begun(view, query, wanted.fingerprint))
        return page(found, [notification_shape(each) for each in found.items], wanted.fingerprint)

    @get("/v1/notifications/{notification:str}", operation_id="getNotification", summary="Read one notification")
    async def get_notification(
        notification: FromPath[str], request: AnyRequest, after: After = None
    ) -> Response[Page[NotificationShape]]:
        """One item for each channel that it went to."""
        await settled(view, asked(request))
        found = await view.reads.notification(notification)
        if not found.items:
            raise Rejected("unknown_notification", f"There is no notification {notification[:80]!r}.")
        return page(found, [notification_shape(each) for each in found.items], fingerprint("notification"))

    return [list_notifications, get_notification]
