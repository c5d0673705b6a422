"""The file of channels and rules: where it is, and what is said about it when something is wrong."""

import re
import tomllib
from pathlib import Path

import pytest

from penstock.domain.errors import Rejected
from penstock.domain.notify.config import parse_config
from penstock.service.notify_config import check_secrets, load_config, read_secret
from penstock.service.settings import Settings

GOOD = """\
[channels.ops]
type = "webhook"
url = "https://example.com/hook"
secrets = ["env:OPS_SECRET"]

[rules.failures]
channels = ["ops"]
codes = ["crashed"]

[rules.rate]
channels = ["ops"]

[rules.rate.failure_rate]
above = 0.5
within = "10m"
"""


def settings(tmp_path: Path, text: str | None) -> Settings:
    if text is not None:
        (tmp_path / "notify.toml").write_text(text)
    return Settings(data_dir=str(tmp_path))


def test_the_file_in_the_data_directory_is_found(tmp_path: Path) -> None:
    """Without any setting; and no file means that nobody wants notifications."""
    assert load_config(settings(tmp_path, None)).rules == []
    assert [rule.name for rule in load_config(settings(tmp_path, GOOD)).rules] == ["failures", "rate"]


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    """A typing error in the setting must not silence notifications."""
    with pytest.raises(Rejected, match="no such file"):
        load_config(Settings(notify_config=str(tmp_path / "nowhere.toml")))


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('codes = ["crashed"]', 'codes = ["boom"]', 8),
        ('channels = ["ops"]\ncodes', 'channels = ["nowhere"]\ncodes', 7),
        ('url = "https://example.com/hook"', "", 1),
        ("above = 0.5", "above = 2.0", 13),
        ('type = "webhook"', 'type = "webhook"\ncolour = 1', 3),
        ('type = "webhook"', "type = webhook", 2),
    ],
)
def test_an_error_says_the_line(tmp_path: Path, old: str, new: str, line: int) -> None:
    """Of the key at fault, or of its table where the key is missing."""
    with pytest.raises(Rejected) as caught:
        load_config(settings(tmp_path, GOOD.replace(old, new)))
    assert f"line {line}" in caught.value.detail
    assert caught.value.code == "invalid_config"


def test_a_secret_is_read_from_the_environment_or_a_file(tmp_path: Path) -> None:
    """Without the newline that editors leave behind."""
    path = tmp_path / "secret"
    path.write_text("whsec_x\n")
    assert read_secret("env:OPS_SECRET", {"OPS_SECRET": "whsec_y"}) == "whsec_y"
    assert read_secret(f"file:{path}") == "whsec_x"


def test_a_missing_secret_is_named_with_its_channel(tmp_path: Path) -> None:
    """At the start, and not when the first message is lost."""
    channels = load_config(settings(tmp_path, GOOD)).channels
    check_secrets(channels, {"OPS_SECRET": "x"})
    with pytest.raises(Rejected, match=r"channels\.ops\.secrets: .*OPS_SECRET"):
        check_secrets(channels, {})
    with pytest.raises(Rejected, match="cannot be read"):
        read_secret(f"file:{tmp_path}/none")


def test_the_example_of_the_readme_is_valid() -> None:
    """Whoever copies it gets no complaint."""
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", readme, re.DOTALL)
    config = parse_config(tomllib.loads(example))
    assert set(config.channels) == {"ops", "team", "mail", "rest"}
    assert {rule.name: rule.condition for rule in config.rules} == {
        "failures": "",
        "payments": "",
        "too_many": "failure_rate",
        "stuck": "queue_older_than",
    }
