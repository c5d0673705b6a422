"""HTTP: delivering a notification once more, and enabling a channel that was disabled."""

import msgspec
from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from penstock.domain.errors import Rejected
from penstock.domain.ids import is_execution_id, is_function_name
from penstock.domain.notify.delivery import Delivery
from penstock.domain.system import NotificationReplayed
from penstock.jetstream.notices import NoticeLog
from penstock.ports import Clock, Conflict, Unavailable
from penstock_ingest.drafts import decode_strictly
from penstock_ingest.flow import AnyRequest, checked_author

TRIES_MAX = 5


class ReplayBody(msgspec.Struct, forbid_unknown_fields=True):
    """Only to this channel; without it, to all channels of the notification."""

    channel: str = ""
    author: str = "api"


class EnableBody(msgspec.Struct, forbid_unknown_fields=True):
    """Who enables it."""

    author: str = "api"


class Replayed(msgspec.Struct):
    """It is on its way again to these channels."""

    id: str
    channels: list[str]
    sequence: str


class Enabled(msgspec.Struct):
    """What is due is sent there again."""

    channel: str
    sequence: str


_replay = msgspec.json.Decoder(ReplayBody)
_enable = msgspec.json.Decoder(EnableBody)


class NotificationRoutes:
    """`POST /v1/notifications/{id}/replay` and `POST /v1/channels/{name}/enable`."""

    def __init__(self, notices: NoticeLog, clock: Clock) -> None:
        self._notices = notices
        self._clock = clock

    def handlers(self) -> list[HTTPRouteHandler]:
        @post(
            "/v1/notifications/{notification:str}/replay", status_code=202, operation_id="replayNotification",
            summary="Deliver a notification once more",
        )  # fmt: skip
        async def replay(notification: FromPath[str], request: AnyRequest) -> Replayed:
            """It keeps its id; the timetable begins again."""
            return await self._replay(notification, await request.body())

        @post(
            "/v1/channels/{name:str}/enable", status_code=200, operation_id="enableChannel",
            summary="Enable a channel whose receiver answered 410",
        )  # fmt: skip
        async def enable(name: FromPath[str], request: AnyRequest) -> Enabled:
            """What was not sent meanwhile is dead, and can be replayed."""
            return await self._enable(name, await request.body())

        return [replay, enable]

    async def _replay(self, notification: str, body: bytes) -> Replayed:
        wanted: ReplayBody = decode_strictly(_replay, body or b"{}")
        # Its id becomes part of a subject.
        found = await self._notices.find(notification) if is_execution_id(notification) else []
        if not found:
            raise Rejected("unknown_notification", f"There is no notification {notification[:80]!r}.")
        chosen = [each for each in found if wanted.channel in ("", each.channel)]
        if not chosen:
            channels = ", ".join(sorted(each.channel for each in found))
            raise Rejected("unknown_channel", f"It did not go to {wanted.channel[:80]!r}, but to {channels}.")
        last = 0
        for each in chosen:
            last = max(last, (await self._once_more(each, checked_author(wanted.author))).sequence)
        return Replayed(notification, [each.channel for each in chosen], f"x:{last}")

    async def _once_more(self, delivery: Delivery, author: str) -> Delivery:
        for _ in range(TRIES_MAX):
            if delivery.state == "due":
                return delivery  # it is on its way already
            try:
                return await self._notices.tell(delivery, NotificationReplayed(at=self._clock(), author=author))
            except Conflict:
                known = await self._notices.read(delivery.channel, delivery.notice.id)
                assert known is not None, "facts of deliveries are not removed while somebody looks at them"
                delivery = known
        raise Unavailable(f"the delivery was changed by others {TRIES_MAX} times in a row")

    async def _enable(self, name: str, body: bytes) -> Enabled:
        wanted = decode_strictly(_enable, body or b"{}")
        if not is_function_name(name) or await self._notices.disabled(name) is None:
            raise Rejected("unknown_channel", f"No channel {name[:80]!r} is disabled.")
        sequence = await self._notices.enable(name, checked_author(wanted.author), self._clock())
        return Enabled(name, f"x:{sequence}")
