"""`penstock nats`: what a NATS server or cluster of one's own needs: users with their rights, and streams."""

import sys
from typing import Annotated

from cyclopts import Parameter

from penstock.cli.errand import run
from penstock.cli.output import Json, console, print_json
from penstock.domain.errors import Rejected
from penstock.domain.ids import ENVIRONMENT_NAME
from penstock.jetstream.own_cluster import users
from penstock.jetstream.provision import wanted_streams
from penstock.service.settings import load_settings
from penstock.wire.names import Names


def users_(*environments: Annotated[str, Parameter(help="Whose subjects they may use; else PENSTOCK_ENV.")]) -> None:
    """Print the users of ENVIRONMENTS for the server's configuration; passwords stay variables in it."""
    for each in environments:
        if not ENVIRONMENT_NAME.fullmatch(each):
            raise Rejected("invalid_option", f"An environment is a-z, 0-9 and '-' (1 to 32), not {each!r}.")
    sys.stdout.write(users(environments or (load_settings().env,)))


def streams_(*, as_json: Json = False) -> None:
    """Make the streams of the environment that are missing, as the user `operator`."""
    # Loaded here, so that other commands stay quick.
    from penstock.service.process import provide

    settings = load_settings()
    run(provide(settings), as_json=as_json, remedy="Start the server, or correct PENSTOCK_NATS_URL.")
    names = [str(each["name"]) for each in wanted_streams(Names(settings.env))]
    if as_json:
        print_json({"data": names})
    else:
        console.print(f"{len(names)} streams are as they must be: {', '.join(names)}", soft_wrap=True)
