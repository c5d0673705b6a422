"""Plain functions whose own process takes as long to load as the test wants; to be copied to a directory of its own."""

import os
import time
from pathlib import Path

from penstock import App

app = App("late")
_here = Path(__file__).parent

if (_here / "first").exists():
    (_here / "loading").touch()
    while not (_here / "go").exists():
        time.sleep(0.01)
(_here / "first").touch()


@app.function
def work() -> str:
    return "done"


@app.function(losses=1)
def crash() -> None:
    os._exit(3)
