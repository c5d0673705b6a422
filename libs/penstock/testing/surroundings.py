"""What surrounds an attempt in a simulation: a directory of its own, and no limits of time."""

import shutil
import tempfile
import weakref
from pathlib import Path


class SimulatedSurroundings:
    """The port behind `ctx.scratch`, `ctx.heartbeat()` and `ctx.extend_timeout()`."""

    _scratch: Path | None = None

    def scratch(self) -> Path:
        """Removed with the attempt."""
        if self._scratch is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="penstock-simulated-"))
            weakref.finalize(self, shutil.rmtree, self._scratch, ignore_errors=True)
        return self._scratch

    def heartbeat(self) -> None:
        """The clock stands still while code runs, so it is never silent for long."""

    def extend(self, seconds: float) -> None:
        """Nor does it ever take long."""
