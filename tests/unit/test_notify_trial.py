"""Trying a rule on the past: which rules can be, and how far back."""

from pathlib import Path

import pytest

from penstock.cli.trial import find_rule, start_of
from penstock.domain.errors import Rejected
from penstock.service.settings import Settings

CONFIG = """
[channels.ops]
type = "apprise"
url = "env:X"
[rules.lag]
channels = ["ops"]
view_lag = "1m"
[rules.all]
channels = ["ops"]
"""
NOW = 1_700_000_000_000_000


def test_only_what_stands_in_the_log_can_be_tried(tmp_path: Path) -> None:
    """What is measured while the notifier runs is refused, and an unknown rule is answered with the known ones."""
    (tmp_path / "notify.toml").write_text(CONFIG)
    settings = Settings(data_dir=str(tmp_path))
    assert find_rule(settings, "all").on == ["failed", "paused", "recovered"]
    with pytest.raises(Rejected, match="measured while the notifier runs"):
        find_rule(settings, "lag")
    with pytest.raises(Rejected, match="There are: all, lag"):
        find_rule(settings, "nope")


def test_since_is_a_duration_or_an_instant() -> None:
    """An instant without a zone is UTC."""
    assert start_of("1h", NOW) == NOW - 3600 * 1_000_000
    assert start_of("2023-11-14T22:13:20", NOW) == NOW
    assert start_of("2023-11-14T23:13:20+01:00", NOW) == NOW
    with pytest.raises(Rejected, match="--since"):
        start_of("yesterday", NOW)
