"""Bytes to and from facts. Old versions are upcast on the way in; unknown kinds are kept as they are."""

from typing import Any

import msgspec

from penstock.domain.execution import facts as f
from penstock.domain.execution.upcast import CURRENT, upcast
from penstock.domain.schedule.facts import AnyScheduleFact, SchedulesDeclared
from penstock.domain.system import AnySystemFact

_encoder = msgspec.json.Encoder()
_fact_decoder: msgspec.json.Decoder[f.AnyFact] = msgspec.json.Decoder(f.AnyFact)
_system_decoder: msgspec.json.Decoder[AnySystemFact] = msgspec.json.Decoder(AnySystemFact)
_schedule_decoder: msgspec.json.Decoder[AnyScheduleFact] = msgspec.json.Decoder(AnyScheduleFact)
_declared_decoder = msgspec.json.Decoder(SchedulesDeclared)
_raw_decoder = msgspec.json.Decoder(dict[str, Any])

encode_fact = _encoder.encode
"""JSON of one fact, compact, with its tag in `kind`."""


def decode_fact(data: bytes) -> f.AnyFact | f.Unknown:
    """The fact in its current version. Raises msgspec.DecodeError for what is no JSON object with `n` and `at`."""
    try:
        fact = _fact_decoder.decode(data)
    except msgspec.ValidationError:
        return _decode_other(data)
    if CURRENT and fact.v < CURRENT.get(f.kind_of(fact), 1):
        return _decode_other(data)
    return fact


def _decode_other(data: bytes) -> f.AnyFact | f.Unknown:
    raw = upcast(_raw_decoder.decode(data))
    try:
        # Through bytes: Raw fields (arguments, results) exist only in the JSON decoder.
        return _fact_decoder.decode(_encoder.encode(raw))
    except msgspec.ValidationError:
        return f.Unknown(
            n=msgspec.convert(raw.get("n"), int),
            at=msgspec.convert(raw.get("at"), int),
            id=str(raw.get("id", "")),
            raw=msgspec.Raw(data),
            name=str(raw.get("kind", "")),
        )


def encode_system_fact(fact: AnySystemFact) -> bytes:
    return _encoder.encode(fact)


def decode_system_fact(data: bytes) -> AnySystemFact | None:
    """The fact, or None for a kind that this version does not know, and for what is no fact at all."""
    try:
        return _system_decoder.decode(data)
    except msgspec.DecodeError:
        return None


def encode_schedule_fact(fact: AnyScheduleFact | SchedulesDeclared) -> bytes:
    return _encoder.encode(fact)


def decode_schedule_fact(data: bytes) -> AnyScheduleFact | None:
    """The fact, or None for what this version does not know."""
    try:
        return _schedule_decoder.decode(data)
    except msgspec.DecodeError:
        return None


def decode_declared(data: bytes) -> SchedulesDeclared | None:
    """The schedules of an app, or None for what this version does not know."""
    try:
        return _declared_decoder.decode(data)
    except msgspec.DecodeError:
        return None
