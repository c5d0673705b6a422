"""A server that gave up writing is recognised by what it adds to its log, and only once."""

from pathlib import Path

from penstock.jetstream.write_errors import WriteErrors

ERROR = b"[7] [ERR] Filestore [EXECUTIONS] Critical write error: write 1.blk: no space left on device\n"


def test_what_is_added_is_seen_once(tmp_path: Path) -> None:
    """What was there before belongs to an earlier server."""
    log = tmp_path / "nats.log"
    log.write_bytes(ERROR)
    errors = WriteErrors(log)
    assert not errors.seen()
    with log.open("ab") as file:
        file.write(b"[7] [INF] Server is ready\n" + ERROR)
    assert errors.seen()
    assert not errors.seen()


def test_a_log_that_begins_anew_is_read_from_its_start(tmp_path: Path) -> None:
    """The server renames its log when it is large; before the first start there is none."""
    log = tmp_path / "nats.log"
    errors = WriteErrors(log)
    assert not errors.seen()
    log.write_bytes(b"[7] [INF] Server is ready\n" * 9)
    assert not errors.seen()
    log.write_bytes(ERROR)
    assert errors.seen()
