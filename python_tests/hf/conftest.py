from __future__ import annotations

import pytest

from fnet_kernels import hf
from fnet_kernels.mixers import registry
from python_tests.helpers.registered import Learned


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our models are registered with transformers, and "learned" is a mixer."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setitem(registry._factories, "learned", Learned)
    hf.register()
    hf.register()  # has no further effect
