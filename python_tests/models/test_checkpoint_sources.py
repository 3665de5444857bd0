"""Models from the hub's cache, and the library without its optional packages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from fnet_kernels.models import FNetForMaskedLM, FNetModel
from python_tests.helpers.checkpoints import ours, stock
from python_tests.helpers.paths import ROOT
from python_tests.helpers.same_models import assert_same_state

pytest.importorskip("transformers")
pytest.importorskip("safetensors.torch")


def cached(cache: Path, repository: str, models_of_revisions: list[Any]) -> None:
    """Lay out a repository in the hub's cache as a download does."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    (folder / "refs" / "v2").write_text("1" * 40)
    for i, model in enumerate(models_of_revisions):
        model.save_pretrained(folder / "snapshots" / (str(i) * 40))


@pytest.mark.filterwarnings("error")
def test_hub(tmp_path: Path) -> None:
    first, second = ours(), stock(num_labels=3)
    second.get_input_embeddings().weight.data += 1
    cached(tmp_path, "someone/model", [first, second])
    options = {"cache_dir": tmp_path, "local_files_only": True}
    for revision, model in ((None, first), ("v2", second)):
        loaded = FNetForMaskedLM.from_pretrained("someone/model", revision=revision, **options)
        assert_same_state(loaded, model)


def test_not_in_the_cache(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"someone/other has no config.json: .*cache"):
        FNetModel.from_pretrained("someone/other", cache_dir=tmp_path, local_files_only=True)


HIDE = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
HIDDEN = {"transformers", "safetensors", "huggingface_hub"}
sys.meta_path.insert(0, Hidden())
"""


def run(code: str, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_with_torch_alone(tmp_path: Path) -> None:
    model = ours()
    model.save_pretrained(tmp_path / "safetensors")
    model.save_pretrained(tmp_path / "bin")
    (tmp_path / "bin" / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "bin" / "pytorch_model.bin")
    code = """
import torch
from fnet_kernels import hf
from fnet_kernels.models import FNetForMaskedLM, checkpoint
model = FNetForMaskedLM.from_pretrained(sys.argv[1] + "/bin")
model(torch.arange(8)[None])

def message(function, *arguments):
    try:
        function(*arguments)
    except ImportError as error:
        return str(error)
    raise AssertionError("no error")

def expected(method, package):
    return f"FNetForMaskedLM.{method} needs {package}: run `pip install 'fnet_kernels[models]'`"

save, load = model.save_pretrained, FNetForMaskedLM.from_pretrained
new, safetensors = sys.argv[1] + "/new", sys.argv[1] + "/safetensors"
assert message(save, new) == expected("save_pretrained", "safetensors")
assert message(load, safetensors) == expected("from_pretrained", "safetensors")
assert message(load, "a/b") == expected("from_pretrained", "huggingface_hub")
assert "pip install transformers" in message(hf.register)
assert not HIDDEN & sys.modules.keys()
"""
    run(HIDE + code, str(tmp_path))
