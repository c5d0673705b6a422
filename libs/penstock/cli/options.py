"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

Node = Annotated[Path | None, Parameter(help="Folder of JavaScript functions: a Defer folder or Netlify functions.")]


def node_folder(given: Path | None) -> str | None:
    """The setting: the whole path, since other processes may work elsewhere."""
    return str(given.resolve()) if given is not None else None
