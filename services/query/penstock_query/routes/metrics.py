"""`GET /metrics`: what Prometheus scrapes."""

from litestar import get
from litestar.response.base import ASGIResponse
from litestar.types import ControllerRouterHandler

from penstock.service.http import METRICS_PATH
from penstock.telemetry.metrics import MEDIA_TYPE, Meter
from penstock_query.gauges import Gauges


def metrics_routes(meter: Meter, gauges: Gauges) -> list[ControllerRouterHandler]:
    """The numbers of this process, and a look at what waits."""

    @get(
        METRICS_PATH,
        operation_id="getMetrics",
        summary="Read the metrics in the Prometheus text format",
        media_type="text/plain",
    )
    async def metrics() -> ASGIResponse:
        """Needs the key, unless PENSTOCK_METRICS_OPEN is set. Gauges are at most some seconds old."""
        await gauges.look()
        return ASGIResponse(body=meter.text().encode(), media_type=MEDIA_TYPE)

    return [metrics]
