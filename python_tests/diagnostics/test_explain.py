from __future__ import annotations

import dataclasses
from math import prod

import numpy as np
import pytest
import torch

from fnet_kernels import explain
from fnet_kernels._ops.load import operators


def test_kernels() -> None:
    explanation = explain((8, 512, 768))
    assert explanation.path == "kernels"
    assert prod(explanation.seq_radices) == 512
    assert prod(explanation.hidden_radices) == 768
    threads = torch.get_num_threads()
    assert explanation.runs_on == f"{operators.cpu_isa()}, {threads} thread{'s'[: threads - 1]}"
    spectrum = (512 // 2 + 1) * (768 // 2 + 1) * 8
    assert spectrum < explanation.workspace_bytes < threads * spectrum * 1.6


def test_it_counts_one_thread(one_thread: None) -> None:
    assert explain((8, 512, 768)).runs_on == f"{operators.cpu_isa()}, 1 thread"


@pytest.mark.parametrize(
    ("shape", "named"),
    [
        ((2, 1_048_583, 768), "seq 1048583"),
        ((2, 512, 2_097_166), "hidden 2097166"),
        ((65537, 67591), "seq 65537 and hidden 67591"),
    ],
)
def test_general_path_names_the_length(shape: tuple[int, ...], named: str) -> None:
    explanation = explain(shape)
    assert explanation.path == "general"
    assert f"because {named} is beyond" in explanation.why
    assert explanation.seq_radices == explanation.hidden_radices == ()
    assert explanation.seq_stages == explanation.hidden_stages == ""
    assert explanation.workspace_bytes > 0


@pytest.mark.parametrize(
    ("length", "radices", "line"),
    [
        (768, (8, 8, 12), "768 = 8 * 8 * 12"),
        (197, (197,), "197 (Rader: 4 * 7 * 7)"),
        (394, (2, 197), "394 = 2 * 197 (Rader: 4 * 7 * 7)"),
        (19 * 31, (19, 31), "589 = 19 (direct) * 31 (Rader: 5 * 6)"),
        (1021, (1021,), "1021 (Rader: 5 * 12 * 17 (Rader: 16))"),
        (719, (719,), "719 (Bluestein: 8 * 12 * 16)"),
        (65537, (65537,), "65537 (Bluestein: 4 * 6 * 12 * 5 * 8 * 12)"),  # 288 * 480, in parts
        (1 << 19, (8, 8, 8, 8, 8, 16), "524288 = 8 * 8 * 8 * 8 * 8 * 16"),  # 512 * 1024
    ],
)
def test_it_names_the_stages_of_a_length(length: int, radices: tuple[int, ...], line: str) -> None:
    explanation = explain((length, 64))
    assert explanation.seq_radices == radices
    assert prod(radices) == length
    assert f"  seq        {line}\n" in str(explanation)


def test_one_row_is_a_line_of_half_its_length() -> None:
    """Its even and odd numbers make a stage of 2. An odd length has none."""
    row = explain((64, 1, 768))
    assert row.lanes == "sequences"
    assert row.hidden_stages == "2 * " + explain((8, 512, 384)).hidden_stages
    assert prod(row.hidden_radices) == 768
    assert explain((64, 1, 2)).hidden_stages == "2"
    assert explain((64, 1, 169)).hidden_stages == explain((8, 512, 169)).hidden_stages


def test_a_forced_path_is_named(general_path: None) -> None:
    assert explain((8, 64)).why == "torch.fft, because set_cpu_path forces it"


def test_lengths_beyond_any_tensor() -> None:
    for power in (21, 22, 23, 31, 33, 40, 50):
        explanation = explain((1, 1 << power, 1))
        assert explanation.path == ("kernels" if power <= 22 else "general")


def test_an_invalid_shape_is_an_error() -> None:
    with pytest.raises(ValueError, match="explain: a size must be at least 0, got -1"):
        explain((-1, 4, 4))
    with pytest.raises(TypeError, match="explain: a size must be an int, got float"):
        explain((2.0, 4))  # type: ignore[arg-type]
    assert explain((np.int64(2), 3, 4)) == explain((2, 3, 4))


def test_empty() -> None:
    for shape in ((0, 4, 4), (2, 0, 4), (2, 4, 0)):
        assert explain(shape).path == "empty"
        assert explain(shape).workspace_bytes == 0


def test_tensor_and_shape_agree() -> None:
    x = torch.empty(2, 16, 24, dtype=torch.bfloat16)
    assert explain(x) == explain(x.shape, dtype=torch.bfloat16, device="cpu")
    assert explain(x) != explain(x.shape)


def test_workspace_is_in_the_compute_dtype() -> None:
    by_dtype = {
        t: explain((2, 512, 768), dtype=t).workspace_bytes for t in (torch.half, torch.double)
    }
    single = explain((2, 512, 768)).workspace_bytes
    assert by_dtype[torch.half] == single
    assert single < by_dtype[torch.double] < 3 * single


def test_explaining_needs_no_memory() -> None:
    assert explain((1 << 20, 1 << 14, 1 << 14)).path == "kernels"


def test_is_readable_and_frozen() -> None:
    explanation = explain((8, 512, 768), dtype=torch.bfloat16)
    text = str(explanation)
    for part in ("[8, 512, 768]", "bfloat16", "cpu", "kernels", "512 = ", "768 = "):
        assert part in text
    assert explanation.runs_on in text
    with pytest.raises(dataclasses.FrozenInstanceError):
        explanation.path = "general"  # type: ignore[misc]


def test_errors_are_those_of_the_operator() -> None:
    with pytest.raises(TypeError, match=r"got torch\.int64"):
        explain((2, 3, 4), dtype=torch.int64)
    with pytest.raises(ValueError, match=r"got shape \(3,\)"):
        explain((3,))
    with pytest.raises(ValueError, match=r"device .*\(cpu.*\); got xpu"):
        explain((2, 3, 4), device="xpu")
    with pytest.raises(ValueError, match="device must be one of torch, got 'foo'"):
        explain((2, 3, 4), device="foo")
    with pytest.raises(ValueError, match="device must be one of torch, got ''"):
        explain((2, 3, 4), device="")
    with pytest.raises(TypeError, match=r"device must be one of torch, got \[\]"):
        explain((2, 3, 4), device=[])  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"explain: dtype must be None or one of .*'float32'"):
        explain((2, 3, 4), dtype="float32")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="x must be a tensor or a shape, got Linear"):
        explain(torch.nn.Linear(2, 2))  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="that of one sequence; got a nested tensor"):
        explain(torch.nested.nested_tensor([torch.ones(2, 4)], layout=torch.jagged))
    with pytest.raises(TypeError, match="must be None when x is a tensor"):
        explain(torch.ones(2, 3, 4), dtype=torch.float32)  # type: ignore[call-overload]


@pytest.mark.parametrize("shape", [(2**40, 2**40, 4), (2**70, 4)], ids=str)
def test_a_shape_that_no_tensor_has(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"explain: x must have at most .* bytes; got shape"):
        explain(shape)
