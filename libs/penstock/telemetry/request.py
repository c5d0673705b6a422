"""Requests to a collector: spans that are bytes already, gathered below the service that each belongs to."""

from collections.abc import Sequence

from opentelemetry.sdk.resources import Resource

from penstock.telemetry import names as t
from penstock.telemetry import protobuf as p
from penstock.telemetry.encode import EncodedSpan, pair
from penstock.telemetry.span import PARTS, Part


class Encoder:
    """Makes requests; knows the resources, which come from the standard variables and the environment's name."""

    def __init__(self, environment: str) -> None:
        self._scope = p.delimited(1, p.text(1, t.SCOPE))
        self._resources: dict[Part, bytes] = {}
        for part in PARTS:
            known = Resource.create({t.SERVICE_NAME: f"penstock-{part}", t.ENVIRONMENT: environment})
            # The instance that the SDK makes up would be this process, which is not the one that did the work.
            pairs = (
                p.delimited(1, pair(key, str(value)))
                for key, value in known.attributes.items()
                if key != "service.instance.id"
            )
            self._resources[part] = p.delimited(1, b"".join(pairs))

    def encode(self, spans: Sequence[EncodedSpan]) -> bytes:
        """One export request with these spans."""
        by_part: dict[Part, list[bytes]] = {part: [] for part in PARTS}
        for part, span in spans:
            by_part[part].append(span)
        return b"".join(
            p.delimited(1, self._resources[part] + p.delimited(2, self._scope + b"".join(group)))
            for part, group in by_part.items()
            if group
        )
