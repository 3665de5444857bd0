"""What the doctor says about a build of the CUDA kernels, its torch and its GPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from build_backend import fnet_nvcc
from fnet_kernels._ops import load
from fnet_kernels.diagnostics import doctor
from fnet_kernels.diagnostics.cuda_build import RECORD, CudaBuild

BUILD = CudaBuild("13.1", ("8.0", "8.6", "9.0"), ("9.0",))


def finding(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    cuda: str | None = "13.1",
    capability: tuple[int, int] | None = (9, 0),
    ptx: tuple[str, ...] = BUILD.ptx,
) -> doctor.Finding | None:
    """The doctor's finding on the build, under this torch and GPU."""
    record = {"nvcc": BUILD.nvcc, "kernels": BUILD.kernels, "ptx": ptx}
    (folder / RECORD).write_text(json.dumps(record))
    monkeypatch.setattr(load, "LIBRARIES", folder)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: capability is not None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    return next(iter(doctor._cuda_build()), None)


def test_a_build_for_this_torch_and_device_needs_no_remark(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for capability in ((9, 0), (8, 9), None):
        found = finding(monkeypatch, tmp_path, capability=capability)
        assert found == doctor.Finding(
            "cuda build", "compiled by nvcc 13.1 for 8.0, 8.6, 9.0, PTX of 9.0"
        )


def test_no_finding_without_a_record_or_without_cuda(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert finding(monkeypatch, tmp_path, cuda=None) is None
    assert finding(monkeypatch, tmp_path) is not None
    (tmp_path / RECORD).unlink()
    assert not list(doctor._cuda_build())


def test_an_nvcc_newer_than_torch_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = finding(monkeypatch, tmp_path, cuda="13.0")
    assert found is not None
    assert found.fix is None, "it usually works"
    assert "; nvcc 13.1 is newer than torch's CUDA 13.0: if the CUDA kernels" in found.detail
    assert not BUILD.too_new("13.1")
    assert not BUILD.too_new("13.10"), "versions are numbers, not text"


def test_a_device_newer_than_the_kernels_compiles_ptx(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = finding(monkeypatch, tmp_path, capability=(12, 0))
    assert found is not None
    assert found.fix is None
    for part in (
        "no machine code for compute capability 12.0",
        "compiles the PTX of 9.0",
        "must support CUDA 13.1",
        "s longer",
        "TORCH_CUDA_ARCH_LIST=12.0",
    ):
        assert part in found.detail


def test_a_device_that_nothing_runs_on_is_broken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = finding(monkeypatch, tmp_path, capability=(12, 0), ptx=())
    assert found is not None
    assert "nothing of it runs on compute capability 12.0" in found.detail
    assert "TORCH_CUDA_ARCH_LIST=12.0" in str(found.fix)


@pytest.mark.parametrize(
    ("kernels", "capability", "runs"),
    [
        ("8.0", (8, 9), True),  # a newer minor version runs older code
        ("8.9", (8, 6), False),
        ("9.0", (10, 0), False),
        ("9.0a", (9, 0), True),  # a: this capability alone
        ("10.0a", (10, 3), False),
        ("10.0f", (10, 3), True),  # f: the family
    ],
)
def test_which_devices_run_machine_code(
    kernels: str, capability: tuple[int, int], runs: bool
) -> None:
    assert CudaBuild("13.0", (kernels,), ()).has_kernels_for(capability) == runs


def test_the_newest_ptx_that_a_device_can_use() -> None:
    build = CudaBuild("13.0", (), ("8.0", "9.0", "9.0a", "12.0"))
    assert build.ptx_for((10, 0)) == "9.0"
    assert build.ptx_for((12, 1)) == "12.0"
    assert build.ptx_for((7, 5)) is None


def test_the_build_records_what_it_compiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fnet_nvcc.RECORD == RECORD
    nvcc = tmp_path / "nvcc"
    nvcc.write_text(
        "#!/bin/sh\nfor last; do :; done\n"
        'case $1 in --list-gpu-arch) echo compute_80 compute_90;; *) : > "$last";; esac\n'
    )
    nvcc.chmod(0o755)
    header, source, folder = tmp_path / "a.h", tmp_path / "a.cu", tmp_path / "objects"
    header.touch()
    source.touch()
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "8.0 9.0a 9.0+PTX")
    toolkit = fnet_nvcc.Toolkit(str(nvcc), (13, 0), ())
    fnet_nvcc.compile_all(toolkit, [str(source)], [str(header)], tmp_path, folder, [])
    assert CudaBuild.read(folder) == CudaBuild("13.0", ("8.0", "9.0a", "9.0"), ("9.0",))
