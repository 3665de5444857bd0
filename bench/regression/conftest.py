"""The option --record: write what is measured to the reference files instead of checking it."""

from __future__ import annotations

import pytest

from bench.cores import Division
from bench.regression import division, gate

FOUND = pytest.StashKey[dict[tuple[str, str], float]]()
DIVISIONS = pytest.StashKey[dict[tuple[str, str], Division]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record",
        nargs="?",
        const="",
        metavar="STATE",
        help="record the figures of this machine; its ratios beside those of other states",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FOUND] = {}
    config.stash[DIVISIONS] = {}


@pytest.fixture
def found(request: pytest.FixtureRequest) -> dict[tuple[str, str], float] | None:
    """The dict that collects ratios for --record, or None if ratios are checked."""
    return request.config.stash[FOUND] if request.config.getoption("--record") is not None else None


@pytest.fixture
def divisions(request: pytest.FixtureRequest) -> dict[tuple[str, str], Division] | None:
    """The dict that collects divisions for --record, or None if they are checked."""
    return (
        request.config.stash[DIVISIONS]
        if request.config.getoption("--record") is not None
        else None
    )


def pytest_sessionfinish(session: pytest.Session) -> None:
    ratios = session.config.stash[FOUND]
    if ratios:
        gate.record(ratios, session.config.getoption("--record"))
        print(f"\nwritten: {gate.REFERENCE}, {len(ratios)} ratios")
    divisions = session.config.stash[DIVISIONS]
    if divisions:
        division.record(divisions)
        print(f"\nwritten: {division.REFERENCE}, {len(divisions)} divisions")
