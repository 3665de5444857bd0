"""How setup.py decides about CUDA, without compiling; the CUDA module, if it is compiled."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from build_backend import fnet_nvcc
from python_tests.helpers.paths import ROOT
from python_tests.helpers.symbols import foreign_symbols

MODULE = ROOT / "fnet_kernels" / "_C_cuda.abi3.so"
needs_module = pytest.mark.skipif(not MODULE.exists(), reason="not compiled: make cuda-build")
cpu_torch = pytest.mark.skipif(torch.version.cuda is not None, reason="for a torch without CUDA")


def fake_nvcc(folder: Path, version: str) -> Path:
    """A CUDA_HOME whose nvcc reports its version and does nothing else."""
    nvcc = folder / "bin" / "nvcc"
    nvcc.parent.mkdir()
    nvcc.write_text(f"#!/bin/sh\necho Cuda compilation tools, release {version}, V{version}.1\n")
    nvcc.chmod(0o755)
    return folder


def configure(cuda_of_torch: str | None, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run setup.py without building, with a torch that claims to be built with that CUDA."""
    script = f"""
import sys, torch
torch.version.cuda = {cuda_of_torch!r}
sys.argv = ["setup.py", "--version"]
code = compile(open("setup.py").read(), "setup.py", "exec")
exec(code, {{"__file__": {str(ROOT / "setup.py")!r}}})
"""
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "PATH": "/usr/bin:/bin", **variables},
        text=True,
        capture_output=True,
    )


NOWHERE = {"CUDA_HOME": "/nowhere"}


@pytest.mark.parametrize(
    ("cuda_of_torch", "variables", "says"),
    [
        (None, {}, "torch .* is built without CUDA"),
        (None, {"FNET_CUDA": "0"}, "FNET_CUDA=0"),
        ("13.0", NOWHERE, "nvcc was not found: install the CUDA toolkit, or set CUDA_HOME"),
    ],
)
def test_a_build_without_cuda_prints_one_reason(
    cuda_of_torch: str | None, variables: dict[str, str], says: str
) -> None:
    done = configure(cuda_of_torch, **variables)
    assert done.returncode == 0, done.stderr
    assert re.search(f"^fnet_kernels: no CUDA kernels in this build: {says}$", done.stdout, re.M)


@pytest.mark.parametrize(
    ("cuda_of_torch", "variables", "says"),
    [
        (None, {"FNET_CUDA": "yes"}, "FNET_CUDA: expected auto, 0 or 1, got yes"),
        (None, {"FNET_CUDA": "1", **NOWHERE}, "FNET_CUDA=1, but nvcc was not found: install .*"),
    ],
)
def test_an_impossible_build_stops_with_one_sentence(
    cuda_of_torch: str | None, variables: dict[str, str], says: str
) -> None:
    done = configure(cuda_of_torch, **variables)
    assert done.returncode == 1
    assert re.fullmatch(f"fnet_kernels: {says}\n", done.stderr)


def test_different_cuda_majors_are_reported(tmp_path: Path) -> None:
    home = {"CUDA_HOME": str(fake_nvcc(tmp_path, "12.4"))}
    says = "the major versions of CUDA differ, nvcc has 12.4 and torch 13.0"
    done = configure("13.0", **home)
    assert done.returncode == 0
    assert says in done.stdout
    done = configure("13.0", FNET_CUDA="1", **home)
    assert done.returncode == 1
    assert re.fullmatch(f"fnet_kernels: FNET_CUDA=1, but {says}: .*\n", done.stderr)


def test_the_same_major_is_enough(tmp_path: Path) -> None:
    done = configure("13.2", CUDA_HOME=str(fake_nvcc(tmp_path, "13.0")))
    assert done.returncode == 0, done.stderr
    assert "no CUDA kernels" not in done.stdout


def test_architectures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = tmp_path / "nvcc"
    listed.write_text("#!/bin/sh\necho compute_80 compute_86 compute_90 compute_120\n")
    listed.chmod(0o755)

    def codes(local: str | None = None) -> list[str]:
        return [f.split(",code=")[1] for f in fnet_nvcc.architectures(str(listed), local)]

    monkeypatch.delenv("TORCH_CUDA_ARCH_LIST", raising=False)
    assert codes() == ["sm_80", "sm_86", "sm_90", "sm_120", "compute_120"]
    assert codes("9.0") == ["sm_90"]
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "8.0;9.0+PTX")
    assert codes("12.0") == ["sm_80", "sm_90", "compute_90"]
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "Hopper")
    with pytest.raises(ValueError, match=r"like 8\.0 or 9\.0\+PTX, got Hopper"):
        codes()


def test_old_and_unknown_capabilities_are_skipped_with_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    listed = tmp_path / "nvcc"
    listed.write_text("#!/bin/sh\necho compute_75 compute_80 compute_90\n")
    listed.chmod(0o755)
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "5.2 7.5+PTX 8.0 9.0+PTX 13.0")
    flags = fnet_nvcc.architectures(str(listed), None)
    assert [f.split(",code=")[1] for f in flags] == ["sm_80", "sm_90", "compute_90"]
    assert capsys.readouterr().out == (
        "fnet_kernels: no CUDA kernels for 5.2 (below 8.0), 7.5+PTX (below 8.0), "
        "13.0 (unknown to nvcc)\n"
    )
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "7.5")
    with pytest.raises(fnet_nvcc.NoArchitecture, match=r"8\.0 or newer .* got 7\.5 \(below 8\.0\)"):
        fnet_nvcc.architectures(str(listed), None)
    monkeypatch.delenv("TORCH_CUDA_ARCH_LIST")
    with pytest.raises(fnet_nvcc.NoArchitecture, match=r"got 7\.5"):
        fnet_nvcc.architectures(str(listed), "7.5")
    listed.write_text("#!/bin/sh\necho compute_75\n")
    with pytest.raises(fnet_nvcc.NoArchitecture, match="no capability"):
        fnet_nvcc.architectures(str(listed), None)


#: Runs setup.py up to the C++ compilation and prints the extensions that it would build.
BUILD = """
import setuptools, sys, torch
torch.version.cuda = "13.0"
given = {}
setuptools.setup = lambda **options: given.update(options)
scope = {"__file__": sys.argv[1], "__name__": "setup"}
exec(compile(open("setup.py").read(), "setup.py", "exec"), scope)
scope["BuildExtension"].build_extensions = lambda self: print([e.name for e in self.extensions])
build = given["cmdclass"]["build_ext"](setuptools.Distribution())
build.build_temp, build.extensions = sys.argv[2], given["ext_modules"]
build.build_extensions()
"""


@pytest.mark.parametrize(
    ("wanted", "capabilities", "says"),
    [
        (
            "auto",
            "7.5",
            "CUDA kernels need a compute capability of 8.0 or newer that nvcc supports",
        ),
        ("auto", "8.0", "nvcc does not compile csrc/cuda/"),
        ("1", "7.5", "FNET_CUDA=1, but CUDA kernels need a compute capability of 8.0 or newer"),
        ("1", "8.0", "FNET_CUDA=1, but nvcc does not compile csrc/cuda/"),
        ("auto", "Hopper", "TORCH_CUDA_ARCH_LIST: expected capabilities like 8.0 or 9.0+PTX"),
    ],
)
def test_a_failing_nvcc_leaves_the_cpu_part(
    wanted: str, capabilities: str, says: str, tmp_path: Path
) -> None:
    home = fake_nvcc(tmp_path, "13.0")
    nvcc = home / "bin" / "nvcc"
    cannot = 'for w; do case $w in *.cu) echo "no such thing" >&2; exit 1;; esac; done\n'
    nvcc.write_text(nvcc.read_text().replace("#!/bin/sh\n", f"#!/bin/sh\n{cannot}"))
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(ROOT / "setup.py"), str(tmp_path / "objects")],
        cwd=ROOT,
        env={
            **os.environ,
            "CUDA_HOME": str(home),
            "FNET_CUDA": wanted,
            "TORCH_CUDA_ARCH_LIST": capabilities,
        },
        text=True,
        capture_output=True,
    )
    if wanted == "auto" and capabilities != "Hopper":
        assert done.returncode == 0, done.stderr
        assert f"fnet_kernels: no CUDA kernels in this build: {says}" in done.stdout
        assert done.stdout.rstrip().endswith("['fnet_kernels._C']")
    else:
        assert done.returncode == 1
        assert done.stderr.startswith(f"fnet_kernels: {says}")


def test_a_cuda_home_without_nvcc_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "home").mkdir()
    home = fake_nvcc(tmp_path / "home", "13.0")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "empty"))
    monkeypatch.setenv("PATH", f"{home / 'bin'}:/usr/bin:/bin")
    found = fnet_nvcc.find_toolkit()
    assert found is not None
    assert found.nvcc == str(home / "bin" / "nvcc")


def test_the_host_compiler_is_the_last_word_of_cxx() -> None:
    assert fnet_nvcc.host_compiler("ccache g++") == "g++"
    assert fnet_nvcc.host_compiler("g++ -m64") == "g++"


def test_objects_of_a_failed_build_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvcc = tmp_path / "nvcc"
    nvcc.write_text(
        "#!/bin/sh\nfor w; do last=$w; done\n"
        "case $1 in --list-gpu-arch) echo compute_80 compute_90; exit;; esac\n"
        "case $last in *b.o) exit 1;; esac\n"
        'echo "$TORCH_CUDA_ARCH_LIST" > "$last"\n'
    )
    nvcc.chmod(0o755)
    toolkit = fnet_nvcc.Toolkit(str(nvcc), (13, 0), ())
    for name in ("a.cu", "b.cu", "h.h"):
        (tmp_path / name).write_text("")
    monkeypatch.setenv("MAX_JOBS", "1")

    def build(capability: str, *names: str) -> None:
        monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", capability)
        sources = [str(tmp_path / name) for name in names]
        headers = [str(tmp_path / "h.h")]
        fnet_nvcc.compile_all(toolkit, sources, headers, tmp_path, tmp_path / "out", None)

    build("8.0", "a.cu")
    with pytest.raises(RuntimeError, match="does not compile"):
        build("9.0", "a.cu", "b.cu")
    build("8.0", "a.cu")
    assert (tmp_path / "out" / "a.o").read_text() == "8.0\n"


@needs_module
def test_the_cuda_module_needs_only_stable_symbols(stable_symbols: set[str]) -> None:
    needed = foreign_symbols(MODULE)
    assert "aoti_torch_get_current_cuda_stream" in needed, "the parser finds symbols"
    assert needed <= stable_symbols


@needs_module
@cpu_torch
def test_explain_for_cuda() -> None:
    """The plans of the CUDA module, in a process whose torch claims to be built with CUDA."""
    script = """
import os, sys, torch
torch.version.cuda = "13.0"
sys.setdlopenflags(os.RTLD_LAZY)  # symbols that this torch lacks are never called
from fnet_kernels import explain
print(explain((32, 512, 768), dtype=torch.bfloat16, device="cuda"))
print(explain((2, 1000, 768), device="cuda"))
print(explain((2, 512, 768), dtype=torch.float64, device="cuda").why)
torch.ops.fnet_kernels.set_cuda_path("general")
print(explain((2, 512, 768), device="cuda").why)
torch.ops.fnet_kernels.set_cuda_path("auto")
sys.modules["fnet_kernels.diagnostics.explain"]._DEFAULT_DEVICE = (84, 99 << 10, 6 << 20)
print(explain((1, 4096, 768), dtype=torch.bfloat16, device="cuda"))
sys.modules["fnet_kernels.diagnostics.explain"]._DEFAULT_DEVICE = (40, 64 << 10, 4 << 20)
print(explain((1, 4096, 768), dtype=torch.bfloat16, device="cuda").why)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, text=True, capture_output=True, check=True
    )
    for part in (
        "path       kernels",
        "512 = 16 * 16 * 2",
        "768 = 12 * 8 * 8",
        "batch in 2 slices; seq_fft: 128 threads per block for every second row of 16 columns,"
        " 16 points per thread",
        "seq_fft: 512 threads per block for every second row of 8 columns, 16 points per thread",
        "torch.fft, because a block of the kernels needs 65 KB of shared memory and this device has"
        " 64 KB",
        "row_fft: 32 threads per line of 2 rows and their mirrors, 24 points per thread",
        "torch.fft, because there are no CUDA kernels for seq 1000 or for hidden 768",
        "torch.fft, because float64 has no CUDA kernels",
        "torch.fft, because set_cuda_path forces it",
    ):
        assert part in done.stdout
