"""Contestants for CUDA, as far as a CPU can test them, and the check of results."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.contestants import registry as contestants
from bench.contestants import transforms
from bench.contestants.blocks import BLOCKS, Block
from bench.contestants.registry import CONTESTANTS, LAYERS, Contestant
from bench.contestants.setting import Absent, Setting, Sublayer
from bench.measure import timing
from bench.measure.study import Row, Study
from bench.report import plots
from bench.report.plot_axes import Line
from bench.report.tables import tables
from python_tests.helpers.close import assert_close

ON_CUDA = Setting((1, 4, 4), device="cuda")
AROUND_CUFFT = next(c for c in CONTESTANTS if c.name == "ours, cuFFT path")


def row(contestant: str, role: str, seq: int, ms: float, over_ours: float) -> Row:
    size = (f"1x{seq}x64", 1, seq, 64, "float32", "forward")
    return Row("sublayer", *size, contestant, role, 5, True, ms, ms, ms, *(over_ours,) * 3, 0.5, ms)


def test_self_attention_with_a_single_kernel() -> None:
    """On CPUs torch has a flash kernel and rejects the others."""
    everywhere = [dataclasses.replace(c, devices=("cpu",)) for c in CONTESTANTS]
    kernels = [c for c in everywhere if c.role == "attention" and "compiled" not in c.name]
    problem = timing.Problem.random((2, 16, 128))
    entries, absent = timing.ready(kernels, problem)
    assert len(entries) == 4
    times = timing.time_all(entries, problem.forward, 0, minimum=1, absent=absent)
    assert times.keys() == {"self-attention", "self-attention, flash"}
    assert absent.keys() == {"self-attention, cuDNN", "self-attention, memory-efficient"}
    plain, flash = (entries[name][1] for name in times)
    flash.load_state_dict(plain.state_dict())  # type: ignore[attr-defined]
    inputs = (problem.x, problem.weight, problem.bias)
    torch.testing.assert_close(flash(*inputs), plain(*inputs))


def test_our_path_is_set_before_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    build = SimpleNamespace(set_cpu_isa=said.append)
    monkeypatch.setattr(contestants, "operators", build)
    monkeypatch.setattr(contestants, "DEVICES", ("cpu",))
    with pytest.raises(Absent):
        AROUND_CUFFT.build(ON_CUDA)
    contestants.pin()
    assert said == ["auto"], "a build without CUDA has no path to set"

    build.set_cuda_path = said.append
    monkeypatch.setattr(contestants, "DEVICES", ("cpu", "cuda"))
    assert AROUND_CUFFT.build(ON_CUDA) is contestants._fused
    ours = [c for c in (*CONTESTANTS, *LAYERS) if c.role == "ours" or c.name == "layer: ours"]
    assert len(ours) == 8
    for contestant in ours:
        said.clear()
        assert contestant.before is not None
        contestant.before()
        assert said[1] == ("general" if contestant is AROUND_CUFFT else "auto"), contestant.name


def test_the_path_around_cufft_is_neither_ours_nor_a_rival() -> None:
    assert AROUND_CUFFT.name != contestants.best_of_ours("cuda")
    assert AROUND_CUFFT.role in contestants.SAME, "its result is checked"
    rows = [row("ours cuda", "ours", 16, 1.0, 1.0), row("fftn", "formula", 16, 3.0, 3.0)]
    text = tables(Study([*rows, row(AROUND_CUFFT.name, AROUND_CUFFT.role, 16, 0.5, 0.5)]))
    assert "best other is fftn, 3.00x: ours is faster" in text
    assert next(line for line in text.splitlines() if line.startswith("ours, cuFFT")).endswith("x")


def test_plots_show_the_fastest_attention_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    drawn: dict[str, Sequence[float | None]] = {}
    draw = plots.draw_lines

    def spy(axes: Any, lines: Sequence[Line]) -> None:
        drawn.update({line.name: line.values for line in lines})
        draw(axes, lines)

    rows = [row("ours cuda", "ours", seq, 1.0, 1.0) for seq in (512, 1024)]
    for name, short, long in (("", 8.0, 20.0), (", flash", 9.0, 12.0), (", cuDNN", 7.0, 13.0)):
        rows += [
            row(f"self-attention{name}", "attention", 512, short, short),
            row(f"self-attention{name}", "attention", 1024, long, long),
        ]
    rows.append(row("linear attention", "linear attention", 512, 2.0, 2.0))
    monkeypatch.setattr(plots, "draw_lines", spy)
    monkeypatch.setattr(plots, "_speedup", lambda *args, **kwargs: None)
    monkeypatch.setattr(plots, "_roofline", lambda *args: None)
    assert plots.save_plots(rows, "", "ours cuda", tmp_path)
    assert drawn["self-attention"] == [7.0, 12.0]
    assert drawn["linear attention"] == [2.0, None]


def test_a_graph_break_is_an_absence() -> None:
    def breaks(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        torch._dynamo.graph_break()
        return transforms.formula(x, weight, bias)

    broken = contestants._compiled("broken", breaks)
    entries, absent = timing.ready([broken], timing.Problem.random((1, 4, 4)))
    assert not entries
    assert "graph_break" in absent["broken"]


FOLDS = (transforms.folded, transforms.folded_in_place)


@pytest.mark.parametrize("fold", FOLDS)
@pytest.mark.parametrize("shape", [(1, 1, 5), (2, 2, 2), (1, 3, 2), (2, 2, 3), (1, 9, 15)], ids=str)
def test_the_folds_at_short_and_odd_lengths(shape: tuple[int, int, int], fold: Sublayer) -> None:
    expected = timing.Reference(timing.Problem.random(shape))
    expected.check(
        Contestant("fold", "composition", "", lambda setting: fold), expected.result(fold)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_gradients_are_compared_with_the_reference(dtype: torch.dtype) -> None:
    def no_gradient(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        mixed = transforms.formula(x, weight, bias)
        return (
            transforms.norm(x + x, weight, bias)
            + (mixed - transforms.norm(x + x, weight, bias)).detach()
        )

    def contestant(name: str) -> Contestant:
        return Contestant(name, "composition", "", lambda setting: no_gradient)

    problem = timing.Problem.random((2, 16, 24), dtype)
    forward, backward = timing.Reference(problem), timing.Reference(problem, backward=True)
    assert forward.value.shape == backward.value.shape == (2, 16, 24)
    for function in (*FOLDS, transforms.formula, transforms.half_spectrum):
        for expected in (forward, backward):
            expected.check(contestant("correct"), expected.result(function))
    forward.check(contestant("correct forward"), forward.result(no_gradient))
    with pytest.raises(ArithmeticError, match="wrong: relative error"):
        backward.check(contestant("wrong"), backward.result(no_gradient))
    nothing = torch.full_like(problem.x, float("nan"))
    with pytest.raises(ArithmeticError, match="wrong: relative error nan"):
        forward.check(contestant("wrong"), nothing)


def test_calls_rotate_through_the_incoming_gradients() -> None:
    seen: list[int] = []

    def spy(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        y = x * 1
        y.register_hook(lambda grad: seen.append(grad.data_ptr()))
        return y

    step = timing.Problem.random((1, 4, 4), copies=3).step(spy)
    for _ in range(4):
        step()
    assert len(set(seen)) == 3
    assert seen[0] == seen[3]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
def test_a_block_is_its_formula(block: Block) -> None:
    problem = timing.Problem.random((2, 12, 32), torch.float64)
    given = (problem.x, problem.weight, problem.bias)
    assert_close(block.ours(*given), block.formula(*given), factor=10)
    assert not any(
        torch.allclose(block.ours(*given), other.formula(*given))
        for other in BLOCKS
        if other is not block
    )
