"""The logic of `make gpu-check`: parts, limits, steps, bundles."""

from __future__ import annotations

import json
import lzma
import os
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from bench.gpu import command as gpu
from bench.gpu import models
from python_tests.helpers.paths import ROOT
from tools import gpu_bundle, gpu_check, gpu_smoke, gpu_steps
from tools.gpu_step import ABSENT, FAIL, PASS, SECONDS, SKIPPED, Check, Part, Step


@pytest.fixture
def check(tmp_path: Path) -> Check:
    tree = tmp_path / "gpu" / "tree"
    tree.mkdir(parents=True)
    return Check(tree, tmp_path / "out")


def test_the_parts_are_those_of_the_benchmark(check: Check) -> None:
    names = [*gpu_steps.BENCH_PARTS, *gpu_steps.SHAPE_PARTS]
    assert ["first times", *names] == list(gpu.PARTS), "in the same order"
    parts = [*gpu_steps.bench(check), *gpu_steps.shapes(check)]
    for name, part in zip(names, parts, strict=True):
        words = list(part.command or ())
        assert words[words.index("--part") + 1] == part.name == name
        assert words[-2:] == ["--seconds", SECONDS]
        assert part.backward == name.startswith(("step", "kernels", "memory"))
    assert names[0] == "forward bf16", "it has most targets"
    assert gpu_steps.MODEL_PARTS == models.PARTS


def test_every_file_of_tests_is_run() -> None:
    files = (ROOT / "python_tests" / "gpu").glob("test_gpu_*.py")
    assert sorted(gpu_steps.TEST_FILES) == sorted(f.stem.removeprefix("test_gpu_") for f in files)


def python(name: str, code: str, limit: float = 20, **more: Any) -> Part:
    return Part(name, [sys.executable, "-c", code], limit, **more)


def test_parts_are_independent(check: Check) -> None:
    parts = [
        python("wrong", "undefined"),
        Part("nowhere", ["/no/such/program"], 5),
        python("child", "import subprocess; subprocess.run(['sleep', '60'])", 1),
        python("found", "raise SystemExit(9)", status=9),
        Part("tool", None, 0, remark="there is no tool"),
        python("good", "print('done')"),
    ]
    results = check.run_step(Step("step", 60, lambda check: parts), 60)
    assert [r.verdict for r in results] == [FAIL, FAIL, FAIL, PASS, ABSENT, PASS]
    assert results[0].remark == "exit status 1"
    assert results[1].remark.startswith("FileNotFoundError")
    assert results[2].remark == "stopped after 1 s"
    assert results[2].seconds < 20, "its child process is killed too"
    assert "NameError" in check.log("step", "wrong").read_text()
    assert check.log("step", "good").read_text().endswith("done\n")


def test_an_error_while_making_the_parts_is_a_failure(check: Check) -> None:
    def raises(check: Check) -> list[Part]:
        raise OSError("no such thing")

    (result,) = check.run_step(Step("step", 60, raises), 60)
    assert (result.verdict, result.remark) == (FAIL, "OSError: no such thing")


def test_parts_after_the_limit_are_skipped(check: Check) -> None:
    parts = [python("long", "import time; time.sleep(60)", 50), python("late", "")]
    results = check.run_step(Step("step", 2, lambda check: parts), 60)
    assert [r.verdict for r in results] == [FAIL, SKIPPED]
    assert results[1].remark.startswith("no time left")


def test_a_part_knows_the_time_that_is_left(check: Check) -> None:
    """The time that it may take ends with that of the step; with too little it does not start."""
    say = [sys.executable, "-c", "import sys; print(sys.argv[1:])", "--seconds", SECONDS]
    part = Part("part", say, 100, least=20)
    assert check.run_part("step", part, 900).verdict == PASS
    assert check.log("step", "part").read_text().endswith("['--seconds', '85']\n")
    check.run_part("step", part, 40)
    assert check.log("step", "part").read_text().endswith("['--seconds', '25']\n")
    result = check.run_part("step", part, 19.6)
    assert (result.verdict, result.remark) == (SKIPPED, "no time left: 20 s, it needs 20 s")


def test_what_is_kept_is_complete_whenever_the_check_is_killed(check: Check) -> None:
    parts = [python("one", "print('said')"), python("two", "raise KeyboardInterrupt")]

    def run_part(step: str, part: Part, left: float) -> Any:
        if part.name == "two":
            raise KeyboardInterrupt
        return Check.run_part(check, step, part, left)

    check.run_part = run_part  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        check.run_step(Step("step", 60, lambda check: parts), 60)
    found = json.loads((check.out / "summary.json").read_text())["results"]
    assert [r["part"] for r in found] == ["one"]
    with tarfile.open(check.out / "logs.tar.gz") as tar:
        assert tar.getnames() == ["step-one.log"]
    assert {path.name for path in check.out.iterdir()} == {"summary.json", "logs.tar.gz"}


@pytest.mark.parametrize(
    ("code", "off"),
    [
        ("import time; time.sleep(60)", True),
        ("raise RuntimeError('CUDA error: unspecified launch failure')", True),
        (
            "import faulthandler; faulthandler.dump_traceback_later(0.1, exit=True)\nwhile 1: pass",
            True,
        ),
        (f"raise SystemExit({gpu_smoke.WRONG})", False),
        ("", False),
    ],
)
def test_a_crashed_backward_pass_is_not_run_again(code: str, off: bool, check: Check) -> None:
    smoke = python("backward", code, 2, backward=True)
    check.run_step(Step("smoke", 9, lambda check: [smoke]), 9)
    parts = [python("forward", ""), python("step", "", backward=True)]
    results = check.run_step(Step("bench", 60, lambda check: parts), 60)
    assert [r.verdict for r in results] == [PASS, SKIPPED if off else PASS]
    tests = {part.name for part in gpu_steps.tests(check)}
    assert tests == {*gpu_steps.TEST_FILES, *(("forward",) if off else ())}


def test_a_later_call_keeps_earlier_results(check: Check) -> None:
    step = Step("smoke", 9, lambda check: [python("forward", "print('said')")])
    check.run_step(step, 9)
    later = Check(check.tree, check.out)
    for _ in range(2):
        later.run_step(Step("bench", 9, lambda check: [python("forward", "")]), 9)
    found = json.loads((check.out / "summary.json").read_text())["results"]
    assert [(r["step"], r["part"]) for r in found] == [("smoke", "forward"), ("bench", "forward")]
    both = [python("forward", "raise SystemExit(1)"), python("step", "")]
    later.run_step(Step("bench", 9, lambda check: both), 9, only=["step"])
    verdicts = [(r.step, r.part, r.verdict) for r in later.results]
    assert verdicts[1:] == [("bench", "forward", PASS), ("bench", "step", PASS)]
    with tarfile.open(check.out / "logs.tar.gz") as tar:
        names = {"smoke-forward.log", "bench-forward.log", "bench-step.log"}
        assert set(tar.getnames()) == names


def test_only_the_chosen_parts_run(
    check: Check, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def step(name: str, *parts: str) -> Step:
        return Step(name, 60, lambda check: [python(part, "") for part in parts])

    steps = [step("build", "setup.py"), step("smoke", "forward", "backward"), step("test", "a")]
    monkeypatch.setattr(gpu_check, "STEPS", steps)
    monkeypatch.setattr(gpu_check, "TREE", check.tree)
    monkeypatch.setattr(gpu_check, "prepare", lambda check: "")
    monkeypatch.setenv("OUT", str(check.out))
    words = ["--rehearse", "--only", "smoke", "--part", "forward"]
    monkeypatch.setattr(sys, "argv", ["gpu_check", *words])
    assert gpu_check.main() == 0
    results = json.loads((check.out / "summary.json").read_text())["results"]
    ran = [(r["step"], r["part"], r["verdict"]) for r in results]
    assert ran == [("build", "setup.py", PASS), ("smoke", "forward", PASS)]
    monkeypatch.setattr(sys, "argv", ["gpu_check", *words, "fwd"])
    assert gpu_check.main() == 2
    assert "--part: no such part: fwd; expected of " in capsys.readouterr().out


def test_a_missing_output_file_is_a_failure(check: Check, tmp_path: Path) -> None:
    file = tmp_path / "profile.ncu-rep"
    result = check.run_part("profile", python("none", "", creates=file), 9)
    assert (result.verdict, result.remark) == (FAIL, "profile.ncu-rep was not written")
    code = f"open({str(file)!r}, 'w').write('x')"
    assert check.run_part("profile", python("one", code, creates=file), 9).verdict == PASS


def test_pytest_imports_from_the_tree(tmp_path: Path) -> None:
    """The tree is inside a root with its own pyproject.toml, which pytest must not use."""
    root, tree = tmp_path, tmp_path / "build" / "tree"
    (root / "pyproject.toml").write_text('[tool.pytest.ini_options]\npythonpath = ["."]\n')
    for folder in (root, tree):
        (folder / "package").mkdir(parents=True)
        (folder / "package" / "__init__.py").write_text(f"where = {folder.name!r}\n")
    (tree / "python_tests" / "gpu").mkdir(parents=True)
    (tree / "pytest.ini").write_text("[pytest]\n")
    test = tree / "python_tests" / "gpu" / "test_where.py"
    test.write_text("import package\n\ndef test_where():\n    assert package.where == 'tree'\n")
    check = Check(tree, tmp_path / "out", rehearse=True)
    (part, *_) = gpu_steps.tests(check)
    command = [str(test) if word.endswith(".py") else word for word in part.command or ()]
    result = check.run_part("test", Part("where", command, 40), 60)
    assert result.verdict == PASS, check.log("test", "where").read_text()


def test_the_smoke_test_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    correct = gpu_smoke.measured
    shape, dtype = (2, 16, 64), torch.float32
    assert gpu_smoke.check("backward", shape, dtype, "cpu")
    for wrong in (
        lambda t: t * 0,
        lambda t: t * 1.001,
        lambda t: t.roll(1, -1),
        lambda t: t + t / 0,
    ):
        for result in ("dx", "dweight", "dbias"):
            monkeypatch.setattr(
                gpu_smoke,
                "measured",
                lambda *a, wrong=wrong, result=result: {
                    name: wrong(value) if name == result else value
                    for name, value in correct(*a).items()
                },
            )
            assert not gpu_smoke.check("backward", shape, dtype, "cpu")


def test_a_hanging_test_ends_its_process(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_steps, "TEST_LIMIT", 1)
    (part, *_) = gpu_steps.tests(check)
    hangs = tmp_path / "test_hangs.py"
    hangs.write_text("import time\n\ndef test_hangs():\n    time.sleep(60)\n")
    command = [str(hangs) if word.endswith(".py") else word for word in part.command or ()]
    result = check.run_part("test", Part("hangs", command, 40), 60)
    assert result.verdict == FAIL
    assert result.status is not None
    assert result.seconds < 20
    assert "test_hangs.py" in check.log("test", "hangs").read_text()


def test_the_copy_follows_the_tree_and_keeps_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, tree = tmp_path / "root", tmp_path / "tree"
    names = ("setup.py", "pyproject.toml", "csrc/a.cpp", "csrc/b.cpp", "x/lib.so", "build/o")
    for name in (*names, "gpu-bundle/bundle.json"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    monkeypatch.setattr(gpu_steps, "ROOT", root)
    monkeypatch.setattr(gpu_steps, "TREE", tree)
    gpu_steps.update_tree()
    copied = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()}
    assert copied == {"setup.py", "csrc/a.cpp", "csrc/b.cpp", "pytest.ini"}
    before = (tree / "csrc/a.cpp").stat().st_mtime_ns
    (root / "csrc/a.cpp").touch()
    (root / "csrc/b.cpp").unlink()
    (root / "setup.py").write_text("other")
    gpu_steps.update_tree()
    assert (tree / "csrc/a.cpp").stat().st_mtime_ns == before
    assert not (tree / "csrc/b.cpp").exists()
    assert (tree / "setup.py").read_text() == "other"


def test_missing_tools_are_absent(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "cuda"
    tool = home / "bin" / "compute-sanitizer"
    tool.parent.mkdir(parents=True)
    tool.write_text('#!/bin/sh\necho "$@"\ncase "$*" in *--control) exit 9;; esac\n')
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CUDA_HOME", str(home))
    if not Path("/usr/local/cuda/bin/compute-sanitizer").exists():
        (part,) = gpu_steps.sanitize(check)  # found, but not executable
        assert check.run_part("sanitize", part, 9).verdict == ABSENT
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    parts = gpu_steps.sanitize(check)
    names = ["memcheck", "racecheck", "initcheck control", "initcheck", "synccheck"]
    assert [part.name for part in parts] == names
    results = check.run_step(Step("sanitize", 60, lambda check: parts), 60)
    assert {r.verdict for r in results} == {PASS}
    said = check.log("sanitize", "racecheck").read_text()
    assert "--racecheck-detect-level error" in said
    assert "--error-exitcode 9" in said
    tool.write_text("#!/bin/sh\nexit 0\n")  # finds nothing, not even the uninitialised x
    results = check.run_step(Step("sanitize", 60, lambda check: parts), 60)
    assert [r.part for r in results if r.verdict == FAIL] == ["initcheck control"]


def test_a_bundle_replaces_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tree, bundle = tmp_path / "gpu" / "tree", tmp_path / "bundle"
    (tree / "fnet_kernels").mkdir(parents=True)
    (tree / "fnet_kernels" / "__init__.py").write_text("")
    for folder, text in ((bundle, "base"), (bundle / "variants" / "other", "other")):
        folder.mkdir(parents=True)
        (folder / "libfnet_kernels_cuda.so.xz").write_bytes(lzma.compress(text.encode()))
    monkeypatch.setattr(gpu_steps, "TREE", tree)
    check = Check(tree, tmp_path / "out", prebuilt=bundle)
    facts = {"sources": gpu_bundle.fingerprint(ROOT), "arch": "9.0"}
    check.machine = {"capability": "9.0"}
    for wrong, remark in (
        ("", "cannot be read"),
        (json.dumps(facts | {"sources": "other"}), "other sources"),
        (json.dumps(facts | {"arch": "8.0"}), "for 8.0"),
    ):
        (bundle / "bundle.json").write_text(wrong)
        other = Check(tree, tmp_path / "out", prebuilt=bundle)
        other.machine = check.machine
        (part,) = gpu_steps.build(other)
        assert part.name == "setup.py", "it is built there"
        assert remark in capsys.readouterr().out
        assert gpu_steps.variants(other)[0].command is None
        other = Check(tree, tmp_path / "out", prebuilt=bundle, rehearse=True)
        other.machine = check.machine
        part, _ = gpu_steps.build(other)
        assert other.run_part("build", part, 9).verdict == FAIL, "a rehearsal finds it"
        assert remark in part.remark
    (bundle / "bundle.json").write_text(json.dumps(facts))
    (part,) = gpu_steps.build(check)
    assert part.name == "prebuilt modules load"
    assert (tree / "fnet_kernels" / "lib" / "libfnet_kernels_cuda.so").read_text() == "base"
    parts = gpu_steps.variants(check)
    assert [p.name for p in parts[:3]] == ["as built 1", "other 1", "as built 2"]
    assert len(parts) == 2 * gpu_steps.ROUNDS
    folder = parts[1].cwd
    assert folder is not None
    assert (folder / "fnet_kernels" / "lib" / "libfnet_kernels_cuda.so").read_text() == "other"
    # `python -m` finds the package of the variant first, although the tree is on PYTHONPATH.
    which = [sys.executable, "-m", "fnet_kernels.which"]
    for place in (tree, folder):
        text = "import fnet_kernels; print(fnet_kernels.__file__)"
        (place / "fnet_kernels" / "which.py").write_text(text)
    assert check.run_part("variants", Part("which", which, 20, cwd=folder), 20).verdict == PASS
    said = check.log("variants", "which").read_text()
    assert said.endswith(f"{folder / 'fnet_kernels' / '__init__.py'}\n")


def test_a_bundle_is_built_anew_after_a_variant(tmp_path: Path) -> None:
    """A file that a variant changed, or has just restored, is later than the object made of it."""
    root, tree = tmp_path / "root", tmp_path / "tree"
    names = {"setup.py", "csrc/cuda/plan.cpp", "csrc/cuda/mix.cpp", "fnet_kernels/__init__.py"}
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
        os.utime(root / name, (1e9, 1e9))
    for ignored in ("pyproject.toml", "fnet_kernels/lib.so", "csrc/module.pyc", "docs/page.md"):
        (root / ignored).parent.mkdir(parents=True, exist_ok=True)
        (root / ignored).write_text("")

    def renew() -> None:
        files = gpu_bundle.files_below
        gpu_bundle.mirror(root, tree, files(root), files(tree))

    renew()
    assert {str(path) for path in gpu_bundle.files_below(tree)} == names
    plan, other = tree / "csrc/cuda/plan.cpp", tree / "csrc/cuda/mix.cpp"
    before = other.stat().st_mtime_ns
    for text in ("a variant", "csrc/cuda/plan.cpp"):  # killed while it is built; restored after it
        plan.write_text(text)
        object_time = plan.stat().st_mtime_ns
        (tree / "csrc" / "moved.cpp").write_text("of an earlier bundle")
        renew()
        assert plan.read_text() == "csrc/cuda/plan.cpp"
        assert plan.stat().st_mtime_ns >= object_time
        assert other.stat().st_mtime_ns == before
        assert not (tree / "csrc" / "moved.cpp").exists()


@pytest.mark.parametrize("name", gpu_bundle.VARIANTS)
def test_variants_apply_to_the_source(name: str) -> None:
    variant = gpu_bundle.VARIANTS[name]
    source = (ROOT / "csrc" / variant.file).read_text()
    assert gpu_bundle.edited(variant, source) != source
    stems = {path.stem for path in (ROOT / "csrc").rglob("*.cu")}
    assert set(variant.objects) <= stems
    with pytest.raises(ValueError, match="occurs 0 times"):
        gpu_bundle.edited(variant, source.replace(variant.old, ""))
