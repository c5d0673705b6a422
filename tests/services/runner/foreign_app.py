"""Functions that are no Python: URLs of the test's own server, and small commands."""

import os
import sys

from penstock import App, Fixed

app = App("foreign")
url = os.environ["FOREIGN_URL"]

SOON = Fixed("50ms")


def script(*lines: str) -> list[str]:
    """A command that runs these lines of Python, written for the test alone."""
    return [sys.executable, "-S", "-c", "\n".join(("import json, os, signal, sys, time", *lines))]


app.http("resize", f"{url}/resize?key=s3cret", secret_env="FOREIGN_SECRET", retries=2, backoff=SOON)
app.http("slow", f"{url}/slow", secret_env="FOREIGN_SECRET", timeout=1.5)
app.http("patient", f"{url}/slow", secret_env="FOREIGN_SECRET")
app.http("inside", "http://127.0.0.2:1/", secret_env="FOREIGN_SECRET", retries=3)
app.command("echo", script("given = json.load(sys.stdin)", "os.write(3, json.dumps(given).encode())"))
app.command("facts", script("os.write(3, json.dumps({**os.environ, 'cwd': os.getcwd()}).encode())"))
app.command(
    "talks",
    script("print('one', flush=True)", "os.write(2, b'two')", "os.kill(os.getpid(), signal.SIGSEGV)"),
    retries=0,
)
app.command(
    "temporary", script("sys.exit(75 if os.environ['PENSTOCK_ATTEMPT'] == '1' else 0)"), retries=1, backoff=SOON
)
app.command("usage", script("sys.stderr.write('no size\\n')", "sys.exit(64)"), retries=5)
app.command("floods", script("json.load(sys.stdin)", "os.fdopen(3, 'wb').write(b'1' * 9_000_000)"), retries=5)
app.command("hungry", script("x = b'x' * 400_000_000", "time.sleep(60)"), memory="64MB", retries=5)
CHILD = "import time; time.sleep(60)"
FAMILY = (
    "import subprocess",
    "given = json.load(sys.stdin)['args']",
    f"child = subprocess.Popen([sys.executable, '-S', '-c', {CHILD!r}], start_new_session=True)",
    "open(given[0], 'w').write(f'{os.getpid()} {child.pid}\\n')",
)
app.command("family", script(*FAMILY, "time.sleep(60)"), timeout=1.0)
app.command(
    "stubborn",
    script(
        *FAMILY,
        "def tidy(*_):",
        "    open(given[1], 'w').write('tidied')",
        "    sys.exit(0)",
        "signal.signal(signal.SIGTERM, tidy)",
        "open(given[0] + '.ready', 'w').close()",
        "time.sleep(60)",
    ),
)
