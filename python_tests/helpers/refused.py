"""Asserts that a call is refused with a message that helps.

defines: assert_refused
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest


def assert_refused(call: Callable[[], Any], error: type[Exception], words: Sequence[str]) -> None:
    """Assert that `call` raises `error` with all of `words` in its message."""
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value)
