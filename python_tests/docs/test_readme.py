"""The README's example runs as it stands."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from fnet_kernels import hf, reference
from python_tests.helpers.paths import ROOT

README = (ROOT / "README.md").read_text()


def test_the_example_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.FNetConfig(hidden_size=64, intermediate_size=64, num_hidden_layers=2)
    small = transformers.FNetModel(config)
    monkeypatch.setattr(transformers.FNetModel, "from_pretrained", lambda name: small)
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, Any] = {}
    exec(example, names)
    x, y, m = names["x"], names["y"], names["m"]
    assert (m - reference.fourier_mix(x)).abs().max() <= 1e-5 * m.abs().max()
    assert (y - reference.fused_fourier_mix(x)).abs().max() <= 1e-4
    assert len(hf.patch_fnet(small).unchanged) == 2
    out = small.to(torch.bfloat16).eval()(torch.tensor([[1, 2, 3]]))
    assert out.last_hidden_state.dtype == torch.bfloat16
