"""Fixtures that pytest finds by itself wherever Penstock is installed."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from penstock.testing.server import Server


@pytest.fixture(scope="session")
def penstock_up(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Callable[..., Server]]":
    """`penstock_up("shop:app")` starts a whole Penstock on free ports, once for each app, until the tests are over."""
    from penstock.testing.server import running

    started: dict[str, Server] = {}
    with ExitStack() as stack:

        def start(app: str, **settings: Any) -> "Server":
            key = f"{app} {sorted(settings.items())}"
            if key not in started:
                folder = tmp_path_factory.mktemp("penstock")
                started[key] = stack.enter_context(running(app, folder, **settings))
            return started[key]

        yield start


@pytest.fixture(params=[False, True], ids=["once", "replayed"])
def simulate(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """`simulate(app)` makes a Simulation; the test runs twice, once with a replay after each stored thing."""
    from penstock.testing.simulation import Simulation

    def make(app: Any, **options: Any) -> Simulation:
        return Simulation(app, replay=request.param, **options)

    return make
