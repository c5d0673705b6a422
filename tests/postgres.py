"""A real PostgreSQL server for the run, from the binaries of this machine."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MISSING = "PostgreSQL is not installed (no initdb in PATH nor in /usr/lib/postgresql/*/bin)"
NO_USER = "PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody`, or no setpriv"


class NoPostgres(Exception):  # noqa: N818
    """Why there is none here."""


def _binary(name: str) -> str:
    found = shutil.which(name)
    if found:
        return found
    candidates = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if not candidates:
        raise NoPostgres(MISSING)
    return str(candidates[-1])


def _as_other_user() -> tuple[list[str], int | None]:
    """(prefix of the command, user id) to run as somebody who is not root."""
    if os.getuid() != 0:
        return [], None
    setpriv = shutil.which("setpriv")
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        if setpriv:
            return [setpriv, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"], user.pw_uid
    raise NoPostgres(NO_USER)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_postgres() -> Iterator[str]:
    """The URL of a server that lives as long as the block. Raises NoPostgres with the reason."""
    initdb, postgres = _binary("initdb"), _binary("postgres")
    prefix, user = _as_other_user()
    home = Path(tempfile.mkdtemp(prefix="penstock-pg-"))
    if user is not None:
        os.chown(home, user, -1)
    data, port = home / "data", _free_port()
    try:
        subprocess.run(
            [*prefix, initdb, "-D", str(data), "-A", "trust", "-U", "penstock", "-N", "-E", "UTF8", "--locale=C"],
            check=True, capture_output=True, cwd=home, timeout=60,
        )  # fmt: skip
        options = ["-F", "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={home}"]
        with (home / "log").open("wb") as output:
            server = subprocess.Popen(
                [*prefix, postgres, "-D", str(data), "-p", str(port), *options, "-c", "max_connections=200"],
                stdout=output, stderr=output, cwd=home,
            )  # fmt: skip
        try:
            ready = _binary("pg_isready")
            subprocess.run(
                ["timeout", "30", "sh", "-c", f"until {ready} -q -h 127.0.0.1 -p {port}; do sleep 0.05; done"],
                check=True,
            )
            yield f"postgresql://penstock@127.0.0.1:{port}/postgres"
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    finally:
        shutil.rmtree(home, ignore_errors=True)
