"""`penstock run [module:app]`: only a runner, for functions of this machine, beside services that run elsewhere."""

from typing import Annotated

from cyclopts import Parameter

from penstock.cli.options import Node, node_folder
from penstock.cli.output import fail
from penstock.cli.serve import serve_with
from penstock.service.settings import load_settings


def run(
    app: Annotated[str | None, Parameter(help="Module and attribute of the app, such as shop:app.")] = None,
    *,
    node: Node = None,
) -> None:
    """Run functions against a Penstock that is up: those of an app, of a folder of JavaScript, or both."""
    settings = load_settings(app=app, node=node_folder(node))
    if not settings.app and not settings.node:
        fail("invalid_option", "There is nothing to run.", "Name an app, such as shop:app, or a folder with --node.")
    serve_with(settings, ("runner",), http=False)
