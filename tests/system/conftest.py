"""One running `penstock up` for tests that only talk to it."""

from collections.abc import Iterator

import pytest

from penstock_process import Penstock, penstock


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Penstock]:
    """`penstock up shop:app`, shared by the tests of a module. Leave it running."""
    with penstock(tmp_path_factory.mktemp("product")) as running:
        yield running


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Penstock]:
    """`penstock up` with all examples."""
    with penstock(tmp_path_factory.mktemp("examples"), "penstock.examples.all:app") as running:
        yield running
