"""The option --record: write the measured ratios to reference.json instead of checking them."""

from __future__ import annotations

import pytest

from bench.regression import gate

FOUND = pytest.StashKey[dict[tuple[str, str], float]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help="record the ratios of this machine")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FOUND] = {}


@pytest.fixture
def found(request: pytest.FixtureRequest) -> dict[tuple[str, str], float] | None:
    """The dict that collects ratios for --record, or None if ratios are checked."""
    return request.config.stash[FOUND] if request.config.getoption("--record") else None


def pytest_sessionfinish(session: pytest.Session) -> None:
    ratios = session.config.stash[FOUND]
    if ratios:
        gate.record(ratios)
        print(f"\nwritten: {gate.REFERENCE}, {len(ratios)} ratios")
