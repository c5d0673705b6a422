"""The keys of an installation: made once, kept from others, replaced by settings."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from penstock.domain.errors import Rejected
from penstock.jetstream.refused import StartRefused
from penstock.service.keys import SIGNING_KEY_FILE, ensure_key, ensure_signing_key
from penstock.service.settings import SECRET, SIGNING_KEY_CHARS_MIN, Settings, load_settings


def test_the_signing_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    """Every later start, and every service with the same data directory, has the same."""
    settings = Settings(data_dir=str(tmp_path / "data"))
    key = ensure_signing_key(settings)
    assert len(key) >= SIGNING_KEY_CHARS_MIN
    assert ensure_signing_key(settings) == key
    assert stat.S_IMODE((tmp_path / "data" / SIGNING_KEY_FILE).stat().st_mode) == 0o600


def test_services_that_start_at_once_make_one_key(tmp_path: Path) -> None:
    """What one of them signed the others must know again."""
    settings = Settings(data_dir=str(tmp_path))
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: ensure_signing_key(settings), range(16)))) == 1


def test_an_empty_key_file_is_no_key(tmp_path: Path) -> None:
    """Anybody could sign with it."""
    (tmp_path / SIGNING_KEY_FILE).touch()
    assert len(ensure_signing_key(Settings(data_dir=str(tmp_path)))) >= SIGNING_KEY_CHARS_MIN


def test_the_setting_goes_before_the_file(tmp_path: Path) -> None:
    """Services on several machines are given one key; then nothing is written."""
    settings = Settings(data_dir=str(tmp_path), signing_key="k" * 40)
    assert ensure_signing_key(settings) == b"k" * 40
    assert not list(tmp_path.iterdir())
    assert "signing_key" in SECRET


def test_a_short_signing_key_is_refused() -> None:
    """It could be guessed."""
    assert load_settings({"PENSTOCK_SIGNING_KEY": "k" * SIGNING_KEY_CHARS_MIN}).signing_key
    with pytest.raises(Rejected, match="PENSTOCK_SIGNING_KEY"):
        load_settings({"PENSTOCK_SIGNING_KEY": "k" * (SIGNING_KEY_CHARS_MIN - 1)})


def test_a_data_directory_that_cannot_be_used_is_a_clear_refusal(tmp_path: Path) -> None:
    """It says which setting helps."""
    (tmp_path / "file").touch()
    with pytest.raises(StartRefused, match="PENSTOCK_SIGNING_KEY"):
        ensure_signing_key(Settings(data_dir=str(tmp_path / "file")))


def test_the_api_key_is_made_once(tmp_path: Path) -> None:
    """The second start finds it."""
    settings = Settings(data_dir=str(tmp_path))
    key, is_new = ensure_key(settings)
    assert (is_new, ensure_key(settings)) == (True, (key, False))
