"""What can be wrong with the configuration, and that each complaint names the place."""

from typing import Any

import pytest

from notify_world import CHANNEL
from penstock.domain.limits import notify_channels_max, notify_rules_max
from penstock.domain.notify.channels import Email, Slack
from penstock.domain.notify.config import Misconfigured, parse_config

RULE: dict[str, Any] = {"channels": ["ops"]}


def read(rules: Any = None, channels: Any = None) -> Any:
    return parse_config({"channels": {"ops": CHANNEL} if channels is None else channels, "rules": rules or {}})


def test_a_rule_without_options_is_about_failures_and_recoveries() -> None:
    """Of all functions, in incidents."""
    (rule,) = read({"all": RULE}).rules
    assert (rule.on, rule.functions, rule.group) == (["failed", "paused", "recovered"], ["*"], True)
    assert rule.condition == ""


def test_all_kinds_of_channels_are_read() -> None:
    """Secrets are named and not held."""
    found = read(
        channels={
            "hook": CHANNEL,
            "team": {"type": "slack", "token": "env:SLACK_TOKEN", "channel": "#alerts"},
            "mail": {"type": "email", "host": "mx", "from": "p@example.com", "to": ["a@example.com"]},
            "rest": {"type": "apprise", "url": "file:/run/secrets/apprise"},
        }
    ).channels
    assert isinstance(found["team"], Slack)
    assert isinstance(found["mail"], Email)
    assert found["mail"].sender == "p@example.com"


@pytest.mark.parametrize(
    ("channel", "key", "what"),
    [
        ({**CHANNEL, "secrets": ["hunter2"]}, "secrets", "env:NAME"),
        ({**CHANNEL, "secrets": []}, "secrets", "at least one"),
        ({**CHANNEL, "url": "ftp://x"}, "url", "https://"),
        ({**CHANNEL, "colour": 1}, "colour", "no option"),
        ({"type": "webhook", "secrets": ["env:S"]}, "url", "missing"),
        ({"type": "pigeon"}, "type", "pigeon"),
        ({"url": "https://x"}, "", "needs a type"),
        ({"type": "slack", "token": "xoxb-1", "channel": "#a"}, "token", "env:NAME"),
        ({"type": "slack", "token": "env:T"}, "channel", "Slack channel"),
        ({"type": "slack"}, "token", "incoming webhook"),
        ({"type": "email", "host": "mx", "from": "p", "to": []}, "to", "at least one"),
        ({"type": "apprise", "url": "json://x"}, "url", "env:NAME"),
    ],
)
def test_a_wrong_channel_is_refused_with_its_key(channel: dict[str, Any], key: str, what: str) -> None:
    """And what to write instead; a secret that was written down is not repeated."""
    with pytest.raises(Misconfigured) as caught:
        read(channels={"mine": channel})
    assert (caught.value.table, caught.value.key) == ("channels.mine", key)
    assert what in caught.value.detail
    assert "hunter2" not in caught.value.detail


@pytest.mark.parametrize(
    ("rule", "key", "what"),
    [
        ({"channels": []}, "channels", "at least one"),
        ({"channels": ["nowhere"]}, "channels", "there are: ops"),
        ({}, "channels", "missing"),
        ({**RULE, "on": ["exploded"]}, "on", "exploded"),
        ({**RULE, "on": []}, "on", "at least one"),
        ({**RULE, "functions": ["a b"]}, "functions", "pattern"),
        ({**RULE, "codes": ["boom"]}, "codes", "error code"),
        ({**RULE, "digest": "soon"}, "digest", "no duration"),
        ({**RULE, "group": "yes"}, "group", "`bool`"),
        ({**RULE, "no_runner": "1m", "view_lag": "1m"}, "view_lag", "a rule for each"),
        ({**RULE, "no_runner": "1m", "codes": ["crashed"]}, "codes", "about no_runner"),
        ({**RULE, "failure_rate": {"above": 1.0, "within": "1m"}}, "failure_rate", "below 1"),
        ({**RULE, "failure_rate": {"above": 0.5, "within": "1ms"}}, "failure_rate", "a second"),
        ({**RULE, "failure_rate": {"above": 0.5, "within": "1m", "at_least": 0}}, "failure_rate", "at_least"),
        ({**RULE, "metadata": {str(number): "x" for number in range(33)}}, "metadata", "32"),
    ],
)
def test_a_wrong_rule_is_refused_with_its_key(rule: dict[str, Any], key: str, what: str) -> None:
    """And what would be right."""
    with pytest.raises(Misconfigured) as caught:
        read({"mine": rule})
    assert (caught.value.table, caught.value.key) == ("rules.mine", key)
    assert what in caught.value.detail


def test_there_are_so_many_channels_and_rules_and_no_more() -> None:
    """At the limits all is well, one more is refused."""
    channels = {f"c{number}": CHANNEL for number in range(notify_channels_max)}
    rules = {f"r{number}": {"channels": ["c0"]} for number in range(notify_rules_max)}
    assert len(read(rules, channels).rules) == notify_rules_max
    for wrong in ((rules | {"more": {"channels": ["c0"]}}, channels), (rules, channels | {"more": CHANNEL})):
        with pytest.raises(Misconfigured, match="may have"):
            read(*wrong)


@pytest.mark.parametrize("tables", [{"channel": {}}, {"rules": []}, {"rules": {"a b": RULE}}, {"rules": {"a": 1}}])
def test_what_is_no_table_of_ours_is_refused(tables: Any) -> None:
    """Instead of passed over."""
    with pytest.raises(Misconfigured):
        parse_config(tables)
