"""`penstock serve SERVICE...`: the named services in this process, until it is told to stop."""

import asyncio
import gc
import os
from typing import Annotated, NoReturn

import structlog
from cyclopts import Parameter

from penstock.cli.output import errors, fail
from penstock.cli.sample import sample_call
from penstock.domain.errors import CATALOGUE, Rejected
from penstock.jetstream.refused import StartRefused
from penstock.ports import Unavailable
from penstock.service.child import end_with_parent
from penstock.service.kernel import LANDLOCK_VERSION_MIN, hide_memory, landlock_version
from penstock.service.logs import configure_logs, is_json, refuse_in_a_line
from penstock.service.settings import Settings, load_settings
from penstock.service.supervisor import report

logger = structlog.get_logger("penstock")

Hidden = Annotated[int | None, Parameter(show=False)]


def serve(
    *services: Annotated[str, Parameter(help="ingest, scheduler, runner, notifier, query: one or several.")],
    port: Annotated[int | None, Parameter(help="HTTP port, also for the health of services without routes.")] = None,
    report_to: Hidden = None,
    parent: Hidden = None,
) -> None:
    """Run SERVICES: ingest, scheduler, runner, notifier, query. Each may run alone, in any number of copies."""
    if parent is not None:
        end_with_parent(parent)
    if report_to is not None:
        os.set_inheritable(report_to, False)
    if not services:
        fail("invalid_option", "Name at least one service.", "Known are ingest, scheduler, runner, notifier and query.")
    serve_with(load_settings(http_port=port), services, http=port is not None, report_to=report_to)


def serve_with(settings: Settings, services: tuple[str, ...], *, http: bool, report_to: int | None = None) -> NoReturn:
    """Run them until told to stop, and leave with an exit code."""
    configure_logs(settings, "+".join(services))
    if settings.isolate and landlock_version() < LANDLOCK_VERSION_MIN:
        # Without Landlock user code could read our memory, being of the same user.
        hide_memory()
    try:
        code = _run(settings, services, http=http, report_to=report_to)
    except Rejected as error:
        _refuse(settings, error.code, error.detail, "", report_to)
    except StartRefused as refusal:
        _refuse(settings, refusal.code, refusal.detail, refusal.remedy, report_to)
    except Unavailable as error:
        remedy = "Start `penstock up`, or set PENSTOCK_NATS_URL to a server that runs."
        _refuse(settings, "unavailable", str(error), remedy, report_to)
    raise SystemExit(code)


def _run(settings: Settings, services: tuple[str, ...], *, http: bool, report_to: int | None) -> int:
    # Loaded here, so that `penstock serve --help` and the supervisor stay small.
    from penstock.service.lifecycle import Runtime
    from penstock.service.process import run_until_stopped

    def ready(runtime: Runtime, problems: dict[str, str]) -> None:
        # What is here now stays for good, and the rest lives for milliseconds: the collector need not look so often.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        if report_to is None and is_json(settings):
            # No complaint, but what whoever starts it waits for, so that the quiet level has it too.
            logger.warning("ready", services=list(services), http_port=runtime.http_port, problems=problems)
        elif report_to is None:
            where = f" at http://{settings.http_host}:{runtime.http_port}" if runtime.http_port else ""
            errors.print(f"ready: {', '.join(services)}{where}")
            for name, problem in problems.items():
                errors.print(f"not well: {name}: {problem}", markup=False)
        else:
            report(
                report_to,
                {
                    "functions": runtime.functions,
                    "sample": sample_call(filter(None, map(runtime.registry.get, runtime.functions))),
                    "http_port": runtime.http_port,
                    "problems": problems,
                },
            )
            os.close(report_to)

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(run_until_stopped(settings, services, ready, http=http))


def _loop_factory() -> "type[asyncio.AbstractEventLoop] | None":
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop


def _refuse(settings: Settings, code: str, detail: str, remedy: str, report_to: int | None) -> NoReturn:
    """Tell the supervisor, which prints it once; without one, print it here."""
    if report_to is None and is_json(settings):
        refuse_in_a_line(code, detail, remedy)
    if report_to is None:
        fail(code, detail, remedy or None)
    hint = CATALOGUE[code].hint if code in CATALOGUE and not remedy else remedy
    report(report_to, {"code": code, "detail": detail, "remedy": hint})
    raise SystemExit(1)
