"""From tables as people write them to channels and rules; what is wrong is said with the table and the key."""

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from penstock.domain import durations
from penstock.domain.errors import CATALOGUE, Rejected
from penstock.domain.ids import is_function_name
from penstock.domain.limits import metadata_keys_max, notify_channels_max, notify_rules_max
from penstock.domain.notify.channels import Channel, complaint
from penstock.domain.notify.rules import CONDITIONS, FailureRate, Rule

_PATTERN = re.compile(r"[A-Za-z0-9_*?\[\]!-]{1,128}")
_FIELD = re.compile(r"`\$\.?([^`]*)`")

Outcome = Literal["failed", "cancelled", "discarded", "succeeded", "retrying", "paused", "recovered"]


class NotifyConfig(NamedTuple):
    """All that is configured."""

    channels: dict[str, Channel] = {}
    rules: list[Rule] = []


class Misconfigured(Rejected):
    """`table` and `key` say where; whoever has the text can find the line."""

    def __init__(self, table: str, key: str, what: str) -> None:
        place = f"{table}.{key}" if key else table
        super().__init__("invalid_config", f"{place} {what}.", pointers=[(f"/{place.replace('.', '/')}", what)])
        self.table = table
        self.key = key


class _Rate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    above: float
    within: str
    at_least: int = 10


class _Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    channels: list[str]
    on: list[Outcome] | None = None
    functions: list[str] = msgspec.field(default_factory=lambda: ["*"])
    codes: list[str] = []
    metadata: dict[str, str | list[str]] = {}
    group: bool = True
    first_of_group: bool = False
    digest: str = "15m"
    quiet: str = "5m"
    failure_rate: _Rate | None = None
    queue_older_than: str | None = None
    schedule_silent: str | None = None
    no_runner: str | None = None
    view_lag: str | None = None


_OUTCOME_ONLY = ("on", "codes", "metadata", "group", "first_of_group", "digest", "quiet")


def parse_config(tables: Mapping[str, Any]) -> NotifyConfig:
    """Channels and rules of the tables. Raises Misconfigured."""
    for name in tables:
        if name not in ("channels", "rules"):
            raise Misconfigured(str(name), "", "is no table that is known here; there are [channels.*] and [rules.*]")
    channels = {name: _channel(name, table) for name, table in _named(tables, "channels", notify_channels_max).items()}
    rules = [_rule(name, table, channels) for name, table in _named(tables, "rules", notify_rules_max).items()]
    return NotifyConfig(channels, rules)


def _named(tables: Mapping[str, Any], kind: str, limit: int) -> dict[str, Mapping[str, Any]]:
    found = tables.get(kind, {})
    if not isinstance(found, Mapping):
        raise Misconfigured(kind, "", f"must be tables, such as [{kind}.mine]")
    if len(found) > limit:
        raise Misconfigured(kind, "", f"has {len(found)} tables and may have {limit}")
    for name, table in found.items():
        if not is_function_name(name):
            raise Misconfigured(f"{kind}.{name}", "", "is no name: it has 1 to 64 of A-Z a-z 0-9 _ -")
        if not isinstance(table, Mapping):
            raise Misconfigured(f"{kind}.{name}", "", f"must be a table: [{kind}.{name}]")
    return dict(found)


def _channel(name: str, table: Mapping[str, Any]) -> Channel:
    where = f"channels.{name}"
    if "type" not in table:
        raise Misconfigured(where, "", "needs a type: webhook, slack, email or apprise")
    try:
        channel: Channel = msgspec.convert(table, Channel)
    except msgspec.ValidationError as error:
        raise _misfit(where, error) from None
    wrong = complaint(channel)
    if wrong is not None:
        raise Misconfigured(where, *wrong)
    return channel


def _rule(name: str, table: Mapping[str, Any], channels: Mapping[str, Channel]) -> Rule:
    where = f"rules.{name}"
    try:
        said = msgspec.convert(table, _Rule)
    except msgspec.ValidationError as error:
        raise _misfit(where, error) from None
    conditions = [each for each in CONDITIONS if getattr(said, each) is not None]
    if len(conditions) > 1:
        raise Misconfigured(where, conditions[1], f"cannot stand beside {conditions[0]}: write a rule for each")
    if conditions:
        beside = next((each for each in _OUTCOME_ONLY if each in table), None)
        if beside is not None:
            raise Misconfigured(where, beside, f"is for rules about outcomes, and this one is about {conditions[0]}")
    _check_lists(where, said, channels)
    metadata = {key: [value] if isinstance(value, str) else value for key, value in said.metadata.items()}
    default_on: list[Outcome] = [] if conditions else ["failed", "paused", "recovered"]
    return Rule(
        name=name, channels=said.channels, on=list(default_on if said.on is None else said.on), codes=said.codes,
        functions=said.functions, metadata=metadata, group=said.group, first_of_group=said.first_of_group,
        digest=_time(where, "digest", said.digest), quiet=_time(where, "quiet", said.quiet),
        failure_rate=_rate(where, said.failure_rate),
        **{key: _time(where, key, value) for key in CONDITIONS[1:] if (value := getattr(said, key)) is not None},
    )  # fmt: skip


def _check_lists(where: str, said: _Rule, channels: Mapping[str, Channel]) -> None:
    if not said.channels:
        raise Misconfigured(where, "channels", "is empty: name at least one channel")
    for each in said.channels:
        if each not in channels:
            known = ", ".join(sorted(channels)) or "none"
            raise Misconfigured(where, "channels", f"names {each!r}, and there is no such channel; there are: {known}")
    if said.on == []:
        raise Misconfigured(where, "on", "is empty: name at least one outcome, or leave it out")
    for pattern in said.functions:
        if not _PATTERN.fullmatch(pattern):
            raise Misconfigured(where, "functions", f"holds {pattern[:80]!r}, which is no name or pattern of names")
    for code in said.codes:
        if code not in CATALOGUE and code != "cancelled":
            raise Misconfigured(where, "codes", f"holds {code[:80]!r}, which is no error code; see the README")
    if len(said.metadata) > metadata_keys_max:
        raise Misconfigured(where, "metadata", f"has more than {metadata_keys_max} keys")


def _rate(where: str, said: _Rate | None) -> FailureRate | None:
    if said is None:
        return None
    if not 0 <= said.above < 1:
        raise Misconfigured(where, "failure_rate", f"has above = {said.above}, which must be from 0 to below 1")
    if said.at_least < 1:
        raise Misconfigured(where, "failure_rate", "has at_least below 1")
    within = _time(where, "failure_rate", said.within)
    if within < 1_000_000:
        raise Misconfigured(where, "failure_rate", "has a window (within) of less than a second")
    return FailureRate(above=said.above, within=within, at_least=said.at_least)


def _time(where: str, key: str, text: str) -> int:
    try:
        return durations.microseconds(text, key)
    except Rejected as error:
        raise Misconfigured(where, key, f"is no duration: {text[:80]!r}. {error.kind.hint[:-1]}") from None


def _misfit(where: str, error: msgspec.ValidationError) -> Misconfigured:
    """The decoder's complaint with the key in place of its path."""
    text = str(error)
    unknown = re.search(r"unknown field `([^`]*)`", text)
    if unknown:
        return Misconfigured(where, unknown[1], "is no option here; see the README for the options")
    missing = re.search(r"missing required field `([^`]*)`", text)
    if missing:
        return Misconfigured(where, missing[1], "is missing")
    place = _FIELD.search(text)
    key = re.split(r"[.\[]", place[1])[0] if place else ""
    what = text.split(" - at ")[0]
    return Misconfigured(where, key, f"does not fit: {what[:1].lower()}{what[1:]}")
