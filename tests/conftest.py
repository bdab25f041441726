"""What every test shares: the --soak option, and boards that keep their flash in a folder of the session."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from forge_homes import Forged

# A shell that runs tests in the background has them ignore interrupts, and so what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="also run what takes minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--soak"):
        return
    for item in items:
        if item.get_closest_marker("soak"):
            item.add_marker(pytest.mark.skip(reason="a long run, only with --soak"))


@pytest.fixture(scope="session", autouse=True)
def espike_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Boards by name live in a folder of this session (and worker), and are ended with it."""
    before = os.environ.get("ESPIKE_HOME")
    os.environ["ESPIKE_HOME"] = str(tmp_path_factory.mktemp("espike-home"))
    yield
    import engines

    engines.close_boards()
    os.environ.pop("ESPIKE_HOME")
    if before is not None:
        os.environ["ESPIKE_HOME"] = before


@pytest.fixture(scope="session")
def forged(tmp_path_factory: pytest.TempPathFactory) -> Forged:
    """A home of the forge with one run of the example's quick configuration; tests that change it copy it."""
    import forge_homes

    base = tmp_path_factory.getbasetemp()
    return forge_homes.made(base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base)
