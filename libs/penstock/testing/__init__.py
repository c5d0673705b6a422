"""For tests of functions: `Simulation` runs them in memory, `given` states the rules as claims."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.testing.given import given
    from penstock.testing.simulation import Run, Simulation

__all__ = ["Run", "Simulation", "given"]


def __getattr__(name: str) -> Any:
    # Loaded by those who use it: pytest imports this package wherever Penstock is installed.
    if name == "given":
        from penstock.testing.given import given

        return given
    if name in ("Run", "Simulation"):
        from penstock.testing import simulation

        return getattr(simulation, name)
    raise AttributeError(f"module 'penstock.testing' has no attribute {name!r}")
