"""Exported models in files: of `torch.export.save`, and of AOTInductor."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from fnet_kernels import models
from python_tests.helpers.close import assert_close
from python_tests.helpers.fnet_models import MODELS
from python_tests.helpers.forks import Forks
from python_tests.helpers.mini_models import SEQ, make

pytestmark = pytest.mark.usefixtures("one_thread")
IDS = torch.randint(4, 100, (2, SEQ), generator=torch.Generator().manual_seed(1))


def exported(name: str) -> tuple[Any, torch.export.ExportedProgram]:
    model = make(name, num_hidden_layers=1).eval()
    ids = IDS[:, None].repeat(1, 3, 1) if name == "FNetForMultipleChoice" else IDS
    with torch.no_grad():
        return model(ids), torch.export.export(model, (ids,))


@pytest.mark.parametrize("name", sorted(MODELS))
def test_saved_and_loaded(name: str, tmp_path: Path) -> None:
    expected, program = exported(name)
    torch.export.save(program, tmp_path / "model.pt2")
    loaded = torch.export.load(tmp_path / "model.pt2")
    got = loaded.module()(*program.example_inputs[0])
    assert type(got) is type(expected)
    for a, b in zip(got, expected, strict=True):
        assert torch.equal(a, b) if isinstance(b, torch.Tensor) else a == b


def test_loaded_in_another_process(forks: Forks, tmp_path: Path) -> None:
    expected, program = exported("FNetForMaskedLM")
    torch.export.save(program, tmp_path / "model.pt2")
    torch.save(IDS, tmp_path / "ids.pt")
    code = """
import sys, torch, fnet_kernels
torch.set_num_threads(1)
folder = sys.argv[1]
result = torch.export.load(f"{folder}/model.pt2").module()(torch.load(f"{folder}/ids.pt"))
print(type(result).__name__)
torch.save(result.logits, f"{folder}/logits.pt")
"""
    found = forks.run(code, str(tmp_path))
    assert (found.returncode, found.stdout) == (0, "FNetOutput\n"), found.stderr
    assert torch.equal(torch.load(tmp_path / "logits.pt"), expected.logits)


def test_a_torch_that_cannot_name_outputs_still_imports_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from torch.utils import _pytree

    monkeypatch.delattr(_pytree, "_register_namedtuple")
    models.outputs._register(models.FNetOutput)


@pytest.mark.skipif("FNET_SLOW_TESTS" not in os.environ, reason="compiles for a minute")
def test_a_package_of_aotinductor(tmp_path: Path) -> None:
    expected, program = exported("FNetForSequenceClassification")
    package = str(tmp_path / "model.pt2")
    torch._inductor.aoti_compile_and_package(program, package_path=package)
    got = torch._inductor.aoti_load_package(package)(IDS)
    assert type(got) is models.FNetOutput
    assert_close(got.logits, expected.logits, factor=10)
