from __future__ import annotations

from collections.abc import Iterator

import pytest

from fnet_kernels.mixers import registry


@pytest.fixture(autouse=True)
def mixers_restored() -> Iterator[None]:
    """Forget the mixers that an example registers."""
    before = dict(registry._factories)
    yield
    registry._factories.clear()
    registry._factories.update(before)
