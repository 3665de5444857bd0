from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def check_the_device() -> Iterator[None]:
    """Stop at the test that caused an illegal access, because every later call would fail."""
    yield
    from on_device import device  # imported late: it skips the module if there is no device

    try:
        device.synchronize()
    except RuntimeError as error:
        pytest.exit(f"the device is lost: {error}", returncode=1)
