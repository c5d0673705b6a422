"""Entry of a worker process: confine itself, load the app, say hello, run attempts until the socket closes.

Started as `python -m penstock_runner.workers.child SOCKET MARKER RUNNER`: two inherited descriptors and the
runner's process id.
"""

import importlib
import os
import sys

from penstock.domain.errors import Rejected
from penstock.functions.define import App
from penstock_runner.workers.attempt import raised
from penstock_runner.workers.confine import die_with, limit_memory, no_core_dumps
from penstock_runner.workers.descendants import MARK
from penstock_runner.workers.link import Link
from penstock_runner.workers.messages import Hello, Setup
from penstock_runner.workers.walls import build


def load(target: str) -> App:
    """The app at "module:attribute". Raises Rejected when there is none; errors of the module pass through."""
    module_name, _, attribute = target.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or f"{module_name}.".startswith(f"{error.name}."):
            sentence = f"there is no module {error.name} in {os.getcwd()}, and none is installed."
            raise Rejected("invalid_option", sentence) from None
        raise
    app = getattr(module, attribute or "app", None)
    if not isinstance(app, App):
        raise Rejected("invalid_option", f"{target} is no App; set PENSTOCK_APP to module:attribute, such as shop:app.")
    return app


def greet(link: Link, target: str, unprotected: list[str]) -> App | None:
    """Load the app and tell the runner how that went."""
    try:
        app = load(target)
    except BaseException as error:
        told = raised(0, error, limited=False)
        link.send(Hello(error=told.message if isinstance(error, Rejected) else f"{told.stack.rstrip()}"))
        return None
    link.send(Hello(app=app.name, specs=app.specs(), schedules=app.schedules(), unprotected=unprotected))
    return app


def first_message(link: Link) -> Setup | None:
    while True:
        link.wait()
        messages = link.receive()
        if messages is None:
            return None
        for message in messages:
            if isinstance(message, Setup):
                return message


def main() -> None:
    """Run until the runner is done with this process."""
    link_fd, marker_fd, parent = (int(argument) for argument in sys.argv[1:4])
    die_with(parent)
    no_core_dumps()
    link = Link(link_fd)
    setup = first_message(link)
    if setup is None:
        return
    directory = os.environ[MARK]
    unprotected = build(setup.hidden) if setup.hidden is not None else []
    # The walls may have made the kernel forget it.
    die_with(parent)
    if setup.mode == "sync":
        from penstock_runner.workers.sync_mode import SyncMode

        mode = SyncMode(link, setup.scratch, directory, limited=setup.memory is not None)
        prepare, run = mode.prepare, mode.run
    else:
        from penstock_runner.workers.async_mode import AsyncMode

        concurrent = AsyncMode(link, setup.scratch, directory, marker_fd, limited=setup.memory is not None)
        prepare, run = concurrent.prepare, concurrent.run
    prepare()
    app = greet(link, setup.app, unprotected)
    if app is None:
        return
    if setup.memory is not None:
        limit_memory(setup.memory)
    run(app)
    # User code may have left threads that never end; all results are sent.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
