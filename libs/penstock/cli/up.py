"""`penstock up [module:app]`: NATS, all services and your functions on this machine, until Ctrl-C."""

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from penstock.cli.options import Node, node_folder
from penstock.cli.output import Json, console, fail, fail_with, print_json_line
from penstock.cli.sample import UNKNOWN
from penstock.domain.errors import Rejected
from penstock.jetstream.refused import StartRefused
from penstock.service.keys import key_path
from penstock.service.logs import configure_logs, is_json, refuse_in_a_line
from penstock.service.notify_config import check_secrets, load_config
from penstock.service.settings import Settings, load_settings, unknown_variables
from penstock.service.supervisor import Supervisor, tell_in_a_line, tell_on_stderr

EXAMPLE_APP = "penstock.examples.all:app"
EXAMPLE_CALL = ("remind", '["shop/web", 7, "A broken link", "https://example.org/7", "ann"]')
JAEGER = "docker run --rm -p 16686:16686 -p 4318:4318 jaegertracing/jaeger:2.20.0"
TRACING = (
    "OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318",
    "PENSTOCK_TRACE_URL='http://localhost:16686/trace/{trace_id}'",
)
FUNCTIONS_SHOWN_MAX = 40


def up(
    app: Annotated[str | None, Parameter(help="Module and attribute of the app, such as shop:app.")] = None,
    *,
    node: Node = None,
    data: Annotated[Path | None, Parameter(help="Directory of the log, the view and the key.")] = None,
    port: Annotated[int | None, Parameter(help="HTTP port.")] = None,
    as_json: Json = False,
) -> None:
    """Start everything on this machine. Without an app or a folder, the examples are served."""
    plain = not as_json
    settings: Settings | None = None
    try:
        settings = load_settings(app=app, node=node_folder(node), data_dir=str(data) if data else None, http_port=port)
        served = settings.app or ("" if settings.node else EXAMPLE_APP)
        settings = msgspec.structs.replace(settings, app=served, data_dir=str(settings.data_path))
        configure_logs(settings, "up")
        # What is wrong with the file is said before anything is started.
        check_secrets(load_config(settings).channels)
        code = asyncio.run(_run(settings, as_json))
    except Rejected as error:
        if plain and settings is not None and is_json(settings):
            refuse_in_a_line(error.code, error.detail)
        fail_with(error, as_json=as_json)
    except StartRefused as refusal:
        if plain and settings is not None and is_json(settings):
            refuse_in_a_line(refusal.code, refusal.detail, refusal.remedy)
        fail(refusal.code, refusal.detail, refusal.remedy, as_json=as_json)
    raise SystemExit(code)


async def _run(settings: Settings, as_json: bool) -> int:
    tell = tell_in_a_line if is_json(settings) else tell_on_stderr
    for variable in unknown_variables():
        tell(f"this variable is no setting: {variable}")
    supervisor = Supervisor(settings, tell)
    stopping = asyncio.Event()
    starting = asyncio.create_task(supervisor.start())
    count = 0

    def stop() -> None:
        nonlocal count
        count += 1
        if count > 1:
            supervisor.kill()
            return
        stopping.set()
        starting.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        await starting
    except asyncio.CancelledError:
        return 0
    if as_json:
        print_json_line(_facts(supervisor))
    else:
        with console:
            console.print(_panel(supervisor))
            # Outside of the frame and never wrapped by us, so that it can be copied from a narrow terminal, too.
            for line in _next_lines(supervisor, supervisor_url(supervisor)):
                console.print(line, markup=False, soft_wrap=True)
    await stopping.wait()
    if not as_json:
        tell("stopping; press Ctrl-C again to leave no time")
    await supervisor.stop()
    return 0


def supervisor_url(supervisor: Supervisor) -> str:
    """Where the HTTP port of this start is."""
    return f"http://{supervisor.settings.http_host}:{supervisor.http_port}"


def _facts(supervisor: Supervisor) -> dict[str, Any]:
    settings = supervisor.settings
    facts: dict[str, Any] = {
        "url": supervisor_url(supervisor),
        "nats_url": supervisor.nats_url if supervisor.server is not None else "PENSTOCK_NATS_URL",
        "app": settings.app,
        "node": settings.node,
        "functions": supervisor.functions,
        "data_dir": str(settings.data_path),
        "pid": os.getpid(),
        "processes": {child.part.name: child.pid for child in supervisor.children},
    }
    if supervisor.key_is_new:
        facts["api_key"] = supervisor.key
    return facts


def _panel(supervisor: Supervisor) -> Panel:
    facts, settings = _facts(supervisor), supervisor.settings
    found = facts["functions"]
    shown = ", ".join(found[:FUNCTIONS_SHOWN_MAX]) or f"none in {settings.app or settings.node}"
    if len(found) > FUNCTIONS_SHOWN_MAX:
        shown += f" and {len(found) - FUNCTIONS_SHOWN_MAX} more"
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("Pages", f"{facts['url']}/  (sign in with the API key)")
    table.add_row("API", f"{facts['url']}/v1  (OpenAPI at /schema, with the key)")
    table.add_row("NATS", facts["nats_url"] + ("  (user trigger, password: the API key)" if supervisor.server else ""))
    table.add_row("API key", _key_line(supervisor))
    table.add_row("Functions", Text(shown))
    return Panel(table, title="Penstock runs", expand=False)


def _key_line(supervisor: Supervisor) -> str:
    if supervisor.settings.api_key:
        return "from PENSTOCK_API_KEY"
    path = key_path(supervisor.settings)
    return f"{supervisor.key}  (shown once; kept in {path})" if supervisor.key_is_new else f"in {path}"


def _next_lines(supervisor: Supervisor, url: str) -> list[str]:
    settings = supervisor.settings
    prefix = "".join(
        f"{name}={value} "
        for name, value, usual in (
            ("PENSTOCK_URL", url, "http://127.0.0.1:8700"),
            ("PENSTOCK_DATA_DIR", str(settings.data_path), str(Path(".penstock").resolve())),
        )
        if value != usual and (name != "PENSTOCK_DATA_DIR" or not settings.api_key)
    )
    function, arguments = EXAMPLE_CALL if settings.app == EXAMPLE_APP else supervisor.sample or ("FUNCTION", UNKNOWN)
    key = "$PENSTOCK_API_KEY" if settings.api_key else f"$(cat {key_path(settings)})"
    lines = [
        "Next, in a second terminal:",
        f"  {prefix}{_program()} call {function} --args '{arguments}' --wait",
        f"  {prefix}{_program()} executions list",
        f'  curl {url}/v1/events -H "Authorization: Bearer {key}" --json \'{{"name": "hello.world", "data": 1}}\'',
    ]
    if not settings.trace_url:
        lines += ["Traces: start Jaeger, set these, start again:", f"  {JAEGER}"]
        lines += [f"  export {line}" for line in TRACING]
    return lines


def _program() -> str:
    """How to call this program from here: by name where the shell finds it, else by its path."""
    path = Path(sys.executable).with_name("penstock")
    found = shutil.which("penstock")
    if not path.exists() or (found is not None and Path(found).samefile(path)):
        return "penstock"
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
