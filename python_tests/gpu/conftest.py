from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def the_device_is_well() -> Iterator[None]:
    """After an illegal access every later call fails: say which test it was, and stop."""
    yield
    from on_device import device  # here, since without a device that import skips

    try:
        device.synchronize()
    except RuntimeError as error:
        pytest.exit(f"the device is lost: {error}", returncode=1)
