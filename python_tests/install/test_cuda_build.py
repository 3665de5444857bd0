"""How setup.py decides about CUDA, without compiling; the CUDA library, if it is compiled."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import torch

from build_backend import fnet_nvcc
from fnet_kernels._ops.library import CUDA_KERNELS
from python_tests.helpers.forks import Forks
from python_tests.helpers.paths import ROOT
from python_tests.helpers.symbols import foreign_symbols, library_with_defined

LIBRARY = ROOT / "fnet_kernels" / "lib" / CUDA_KERNELS
needs_library = pytest.mark.skipif(not LIBRARY.exists(), reason="not compiled: make cuda-build")
cpu_torch = pytest.mark.skipif(torch.version.cuda is not None, reason="for a torch without CUDA")

#: Runs setup.py with a torch that claims another CUDA, and prints libraries instead of linking.
BUILD = """
import sys, torch
from torch.utils.cpp_extension import BuildExtension
cuda, failing, folder = sys.argv[1:]
torch.version.cuda = cuda or None
def build_extension(self, extension):
    if extension.name == failing:
        raise RuntimeError("Error compiling objects\\nmany lines")
    print("built", extension.name)
BuildExtension.build_extension = build_extension
sys.argv = ["setup.py", "-q", "build_ext", "--build-temp", folder, "--build-lib", folder]
exec(compile(open("setup.py").read(), "setup.py", "exec"), {"__file__": "setup.py"})
"""
CPU_BUILT = "built fnet_kernels.lib.libfnet_kernels\n"
CUDA = "fnet_kernels.lib.libfnet_kernels_cuda"
NOWHERE = {"CUDA_HOME": "/nowhere"}
KNOWN = "compute_75 compute_80 compute_86 compute_90 compute_120"


def fake_toolkit(folder: Path, version: str, *, compiles: bool = True) -> dict[str, str]:
    """The CUDA_HOME of an nvcc that reports its version and architectures.

    It writes empty object files, or if not `compiles`, fails as a broken installation does.
    """
    nvcc = folder / "bin" / "nvcc"
    nvcc.parent.mkdir()
    result = (
        ': > "$last"' if compiles else "echo nvcc: warning >&2; echo fatal: no cicc >&2; exit 1"
    )
    nvcc.write_text(
        "#!/bin/sh\nfor last; do :; done\n"
        f"case $1 in --version) echo release {version}, V{version}.1; exit;;\n"
        f"--list-gpu-arch) echo {KNOWN}; exit;; --dryrun) exit;; esac\n{result}\n"
    )
    nvcc.chmod(0o755)
    return {"CUDA_HOME": str(folder)}


def build(
    forks: Forks, cuda_of_torch: str, folder: Path, failing: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run BUILD; the libraries go to `folder`."""
    environment = {k: v for k, v in os.environ.items() if k != "TORCH_CUDA_ARCH_LIST"}
    environment |= {"PATH": "/usr/bin:/bin", **variables}
    return forks.run(BUILD, cuda_of_torch, failing, str(folder), env=environment)


@pytest.mark.parametrize(
    ("cuda_of_torch", "variables", "says"),
    [
        ("", {}, "torch is built without CUDA"),
        ("13.0", {"FNET_CUDA": "0"}, "FNET_CUDA=0"),
        ("13.0", NOWHERE, "nvcc was not found: install the CUDA toolkit, or set CUDA_HOME"),
    ],
)
def test_a_build_without_cuda_prints_one_reason(
    forks: Forks, cuda_of_torch: str, variables: dict[str, str], says: str, tmp_path: Path
) -> None:
    library = tmp_path / "fnet_kernels" / "lib" / CUDA_KERNELS
    library.parent.mkdir(parents=True)
    stale = [library, library.with_name(fnet_nvcc.RECORD)]  # of an earlier build
    for path in stale:
        path.write_text("")
    done = build(forks, cuda_of_torch, tmp_path, **variables)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"fnet_kernels: no CUDA kernels in this build: {says}\n{CPU_BUILT}"
    assert not any(path.exists() for path in stale)


@pytest.mark.parametrize(
    ("cuda_of_torch", "variables", "says"),
    [
        ("", {"FNET_CUDA": "yes"}, "FNET_CUDA: expected auto, 0 or 1, got yes"),
        ("", {"FNET_CUDA": "1", **NOWHERE}, "FNET_CUDA=1, but nvcc was not found: install .*"),
        ("13.0", {"FNET_CUDA": "1"}, "FNET_CUDA=1, but nvcc does not compile csrc/cuda/.*"),
    ],
)
def test_an_impossible_build_stops_with_one_sentence(
    forks: Forks, cuda_of_torch: str, variables: dict[str, str], says: str, tmp_path: Path
) -> None:
    broken = fake_toolkit(tmp_path, "13.0", compiles=False)
    done = build(forks, cuda_of_torch, tmp_path, **{**broken, **variables})
    assert done.returncode == 1
    assert re.fullmatch(f"fnet_kernels: {says}\n", done.stderr)


def test_different_cuda_majors_are_reported(forks: Forks, tmp_path: Path) -> None:
    home = fake_toolkit(tmp_path, "12.4")
    says = "the major versions of CUDA differ, nvcc has 12.4 and torch 13.0"
    done = build(forks, "13.0", tmp_path, **home)
    assert done.returncode == 0
    assert says in done.stdout
    assert done.stdout.endswith(CPU_BUILT)


@pytest.mark.parametrize("cuda_of_torch", ["13.0", "13.1"])
def test_an_nvcc_newer_than_torch_is_reported_and_used(
    forks: Forks, cuda_of_torch: str, tmp_path: Path
) -> None:
    """Within a major version nvcc may be newer; then what it compiles may not load."""
    done = build(forks, cuda_of_torch, tmp_path, **fake_toolkit(tmp_path, "13.1"))
    assert done.returncode == 0, done.stderr
    said = "nvcc 13.1 is newer than torch's CUDA 13.0: if the CUDA kernels do not load"
    assert (said in done.stdout) == (cuda_of_torch == "13.0")
    assert done.stdout.endswith(f"built {CUDA}\n")


def test_an_old_architecture_list_builds_the_rest_and_prints_one_line(
    forks: Forks, tmp_path: Path
) -> None:
    """The list of container images, with a toolkit of the same major version as torch."""
    home = fake_toolkit(tmp_path, "13.0")
    done = build(forks, "13.2", tmp_path, TORCH_CUDA_ARCH_LIST="7.5 8.0 9.0+PTX", **home)
    assert done.returncode == 0, done.stderr
    ours = [line for line in done.stdout.splitlines() if line.startswith("fnet_kernels:")]
    assert ours == ["fnet_kernels: no CUDA kernels for 7.5 (below 8.0)"]
    assert done.stdout.endswith(f"{CPU_BUILT}built {CUDA}\n")
    record = json.loads((tmp_path / "fnet_kernels" / "lib" / fnet_nvcc.RECORD).read_text())
    assert record == {"nvcc": "13.0", "kernels": ["8.0", "9.0"], "ptx": ["9.0"]}


@pytest.mark.parametrize(
    ("capabilities", "compiles", "failing", "says"),
    [
        ("7.5", True, "", "CUDA kernels need a compute capability of 8.0 or newer that nvcc sup"),
        ("Turing", True, "", "CUDA kernels need a compute capability of 8.0 or newer that nvcc"),
        ("8.0", False, "", "nvcc does not compile csrc/cuda/"),
        ("8.0", True, CUDA, "libfnet_kernels_cuda.so does not build (Error compiling objects)"),
    ],
    ids=["old list", "name", "nvcc fails", "linker fails"],
)
def test_a_failing_cuda_build_leaves_the_cpu_part(
    forks: Forks, capabilities: str, compiles: bool, failing: str, says: str, tmp_path: Path
) -> None:
    home = fake_toolkit(tmp_path, "13.0", compiles=compiles)
    done = build(forks, "13.0", tmp_path, failing, TORCH_CUDA_ARCH_LIST=capabilities, **home)
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("fnet_kernels:"))
    assert line.startswith(f"fnet_kernels: no CUDA kernels in this build: {says}")
    assert compiles or "(fatal: no cicc)" in line
    assert CPU_BUILT in done.stdout
    assert f"built {CUDA}" not in done.stdout


def test_architectures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = tmp_path / "nvcc"
    listed.write_text("#!/bin/sh\necho compute_80 compute_86 compute_90 compute_120\n")
    listed.chmod(0o755)

    def codes(*local: str) -> list[str]:
        return [f.split(",code=")[1] for f in fnet_nvcc.architectures(str(listed), [*local])]

    monkeypatch.delenv("TORCH_CUDA_ARCH_LIST", raising=False)
    assert codes() == ["sm_80", "sm_86", "sm_90", "compute_90", "sm_120", "compute_120"]
    assert codes("9.0") == ["sm_90"]
    assert fnet_nvcc.architectures(str(listed), ["8.6", "12.0"]) == [
        "-gencode=arch=compute_80,code=sm_86",
        "-gencode=arch=compute_120,code=sm_120",
    ]
    assert codes("7.5", "8.0") == ["sm_80"], "an old GPU beside a supported one"
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "8.0;9.0+PTX")
    assert codes("12.0") == ["sm_80", "sm_90", "compute_90"]


def test_old_and_unknown_capabilities_are_skipped_with_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    listed = tmp_path / "nvcc"
    listed.write_text("#!/bin/sh\necho compute_75 compute_80 compute_90\n")
    listed.chmod(0o755)
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "5.2 7.5+PTX 8.0 Hopper 9.0+PTX 13.0")
    flags = fnet_nvcc.architectures(str(listed), [])
    assert [f.split(",code=")[1] for f in flags] == ["sm_80", "sm_90", "compute_90"]
    assert capsys.readouterr().out == (
        "fnet_kernels: no CUDA kernels for 5.2 (below 8.0), 7.5+PTX (below 8.0), "
        "Hopper (expected a capability like 8.0 or 9.0+PTX), 13.0 (unknown to nvcc)\n"
    )
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "7.5")
    with pytest.raises(fnet_nvcc.CannotBuild, match=r"8\.0 or newer .* got 7\.5 \(below 8\.0\)"):
        fnet_nvcc.architectures(str(listed), [])
    monkeypatch.delenv("TORCH_CUDA_ARCH_LIST")
    with pytest.raises(fnet_nvcc.CannotBuild, match=r"got 7\.5"):
        fnet_nvcc.architectures(str(listed), ["7.5"])
    listed.write_text("#!/bin/sh\necho compute_75\n")
    with pytest.raises(fnet_nvcc.CannotBuild, match="no capability"):
        fnet_nvcc.architectures(str(listed), [])


def test_a_cuda_home_without_nvcc_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "home").mkdir()
    fake_toolkit(tmp_path / "home", "13.0")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "empty"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'home' / 'bin'}:/usr/bin:/bin")
    assert fnet_nvcc.find_toolkit().nvcc == str(tmp_path / "home" / "bin" / "nvcc")


@pytest.mark.parametrize("content", ["#!/nowhere/sh\n", "#!/bin/sh\nkill -SEGV $$\n", "\0\0"])
def test_an_nvcc_that_does_not_run_is_named(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvcc = tmp_path / "bin" / "nvcc"
    nvcc.parent.mkdir()
    nvcc.write_text(content)
    nvcc.chmod(0o755)
    monkeypatch.delenv("CUDA_HOME", raising=False)
    monkeypatch.delenv("CUDA_PATH", raising=False)
    monkeypatch.setenv("PATH", f"{nvcc.parent}:/usr/bin:/bin")
    with pytest.raises(fnet_nvcc.CannotBuild, match=rf"^{re.escape(str(nvcc))} does not run: ins"):
        fnet_nvcc.find_toolkit()


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
        fnet_nvcc.compile_all(toolkit, sources, headers, tmp_path, tmp_path / "out", [])

    build("8.0", "a.cu")
    with pytest.raises(fnet_nvcc.CannotBuild, match="does not compile"):
        build("9.0", "a.cu", "b.cu")
    build("8.0", "a.cu")
    assert (tmp_path / "out" / "a.o").read_text() == "8.0\n"


@needs_library
def test_the_cuda_library_needs_only_stable_symbols(stable_symbols: set[str]) -> None:
    needed = foreign_symbols(LIBRARY)
    assert "aoti_torch_get_current_cuda_stream" in needed, "the parser finds symbols"
    assert needed <= stable_symbols


@needs_library
@cpu_torch
def test_explain_for_cuda(forks: Forks, tmp_path: Path) -> None:
    """The plans of the CUDA library, in a process whose torch claims to be built with CUDA."""
    stream = library_with_defined(tmp_path, "aoti_torch_get_current_cuda_stream")  # never called
    script = """
import ctypes, sys, torch
torch.version.cuda = "13.0"
ctypes.CDLL(sys.argv[1], ctypes.RTLD_GLOBAL)
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
    done = forks.run(script, str(stream))
    assert done.returncode == 0, done.stderr
    for part in (
        "path       kernels",
        "512 = 16 * 16 * 2",
        "768 = 12 * 8 * 8",
        "batch in 2 slices; seq_fft: 512 threads per block for every second row of 64 columns,"
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
