"""Log lines never carry a secret."""

import errno
import io
import logging

import pytest
import structlog

from penstock.service.logs import HIDDEN, Lossy, configure_logs, hide_secrets
from penstock.service.settings import load_settings


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("api_key", "anything", "anything"),
        ("password", "hunter2", "hunter2"),
        ("event", "connected to nats://svc:hunter2@db:4222", "hunter2"),
        ("event", "Authorization: Bearer abcdef", "abcdef"),
        ("exception", "KeyError: pk_0123456789abcdef", "pk_0123456789abcdef"),
    ],
)
def test_a_secret_is_hidden_wherever_it_stands(name: str, value: str, secret: str) -> None:
    """By the name of its field, or by its form inside a text."""
    line = hide_secrets(None, "error", {name: value})
    assert secret not in str(line)
    assert HIDDEN in str(line)


def test_what_is_no_secret_stays() -> None:
    """Ids, keys of idempotency and addresses without a password are shown."""
    line = {"execution_id": "0" * 32, "idempotency_key": "order-7", "url": "nats://127.0.0.1:4222"}
    assert hide_secrets(None, "info", dict(line)) == line


def test_a_traceback_goes_through_the_same_filter(capfd: pytest.CaptureFixture[str]) -> None:
    """An exception's text is a place where keys turn up."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    try:
        configure_logs(load_settings({"PENSTOCK_LOG_FORMAT": "json"}))
        try:
            raise ValueError("key pk_0123456789abcdef is wrong")
        except ValueError:
            logging.getLogger("anywhere").exception("it broke")
        written = capfd.readouterr().err
    finally:
        root.handlers[:], level = before
        root.setLevel(level)
        structlog.reset_defaults()
    assert "it broke" in written
    assert "pk_0123456789abcdef" not in written


class FullDisk(io.StringIO):
    """Takes no line."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_line_that_cannot_be_written_fails_nothing() -> None:
    """A full disk must not turn an answer of 503 into something else."""
    print("anything", file=Lossy(FullDisk()), flush=True)
