"""The programs of examples/, each run as a user runs it, with less work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from examples import drop_in
from fnet_kernels import FusedFourierMix
from python_tests.helpers.paths import ROOT

#: The words that make each program short.
WORDS = {
    "drop_in.py": ("--steps", "2"),
    "huggingface.py": (),
    "long_sequences.py": ("--seq", "16,32", "--hidden", "64", "--rounds", "2"),
}


def run(name: str) -> str:
    command = [sys.executable, f"examples/{name}", *WORDS[name]]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert child.returncode == 0, child.stderr
    return child.stdout


def test_every_example_is_run() -> None:
    """By this file, or by another one that imports the program or runs it as a module."""
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    programs = {path.name for path in (ROOT / "examples").glob("*.py")} - {"__init__.py"}
    elsewhere = {
        name
        for name in programs
        if re.search(rf"from examples import .*\b{name[:-3]}\b|examples\.{name[:-3]}\b", tests)
    }
    assert programs - elsewhere <= WORDS.keys() <= programs


def test_drop_in_compares_two_mixings() -> None:
    said = run("drop_in.py")
    found = {line.split()[0]: float(line.split()[2]) for line in said.splitlines()}
    assert found.keys() == {"attention", "Fourier"}
    assert all(0 <= accuracy <= 1 for accuracy in found.values())


def test_the_task_of_drop_in_needs_mixing_and_fourier_mixing_learns_it() -> None:
    torch.manual_seed(0)
    accuracy, _ = drop_in.train(drop_in.Classifier(FusedFourierMix(64), FusedFourierMix(64)), 60)
    assert accuracy > 0.9
    without, _ = drop_in.train(drop_in.Classifier(nn.Identity(), nn.Identity()), 60)
    assert without < 0.6


def test_huggingface_shows_small_differences() -> None:
    pytest.importorskip("transformers")
    said = run("huggingface.py")
    assert "patched 12 FNet layers" in said
    float32, bfloat16 = (float(value) for value in re.findall(r"difference (\S+)", said))
    assert float32 < 1e-5 < bfloat16 < 5e-2


def test_long_sequences_prints_a_row_per_length() -> None:
    rows = [line.split() for line in run("long_sequences.py").splitlines()[2:]]
    assert [row[0] for row in rows] == ["16", "32"]
    assert all(float(value.rstrip("x")) > 0 for row in rows for value in row)
