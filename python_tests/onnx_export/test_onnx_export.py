"""Exported to ONNX and run by onnxruntime, models give what they give in torch."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

import fnet_kernels
from fnet_kernels import FNetEncoder, FNetEncoderLayer, FourierMix, FusedFourierMix, fourier_mix, hf
from fnet_kernels._ops import composed
from fnet_kernels.mixers import create_mixer, list_mixers
from fnet_kernels.onnx import decompositions
from python_tests.helpers.close import assert_close, relative_error
from python_tests.helpers.forks import Forks

pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")

operators = torch.ops.fnet_kernels
HIDDEN = 24
#: The lengths are free.
FREE = {0: Dim("batch"), 1: Dim("seq")}
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*shares the same shape constraints:UserWarning",
    "ignore::FutureWarning",
    "ignore::DeprecationWarning",
    "ignore::torch.jit.TracerWarning",
)


@pytest.fixture(autouse=True)
def quiet(one_thread: None) -> Iterator[None]:
    """torch's exporter logs which packages it misses."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


class Exported:
    """A model in onnxruntime."""

    def __init__(self, model: Any, args: tuple[Any, ...] = (), **options: Any) -> None:
        self.program = torch.onnx.export(model, args, dynamo=True, verbose=False, **options)
        self.count = Counter(node.op_type for node in self.program.model.graph)
        self.opset = self.program.model.opset_imports[""]
        runtime = onnxruntime.SessionOptions()
        runtime.intra_op_num_threads = 1
        content = self.program.model_proto.SerializeToString()
        self.session = onnxruntime.InferenceSession(content, runtime)

    def __call__(self, *args: Tensor) -> list[Tensor]:
        names = (put.name for put in self.session.get_inputs())
        feeds = {name: arg.numpy() for name, arg in zip(names, args, strict=True)}
        return [torch.from_numpy(result) for result in self.session.run(None, feeds)]


def assert_same(exported: Exported, model: nn.Module, x: Tensor, most: float = 1e-5) -> None:
    (result,), truth = exported(x), model(x).detach()
    assert (result.shape, result.dtype) == (truth.shape, truth.dtype)
    assert truth.any(), "a comparison with zeros proves nothing"
    assert relative_error(result, truth) <= most


class InUse(nn.Module):
    """The functions inside someone's module, of a tensor that is not contiguous."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(HIDDEN))

    def forward(self, x: Tensor) -> Tensor:
        mixed = fourier_mix(x.transpose(-1, -2), scale=0.1).transpose(-1, -2)
        mixed = fourier_mix(x, scale=0.2, residual=mixed)
        mixed = mixed + fnet_kernels.hartley_mix(x, scale=0.1)
        return fnet_kernels.fused_fourier_mix(mixed + x, self.weight, eps=1e-5, scale=-0.3).relu()


def randomised(model: nn.Module) -> nn.Module:
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model.eval()


class Together(nn.Module):
    """Several models, each with an input of its own: an export takes seconds."""

    def __init__(self, *models: nn.Module) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)

    def forward(self, inputs: list[Tensor]) -> list[Tensor]:
        return [model(x) for model, x in zip(self.models, inputs, strict=True)]


MODELS = {
    "mix": lambda: FourierMix(scale=0.3),
    "fused": lambda: FusedFourierMix(HIDDEN),
    "no bias": lambda: FusedFourierMix(HIDDEN, bias=False, eps=0.1, scale=2.0),
    "no affine": lambda: FusedFourierMix(HIDDEN, elementwise_affine=False),
    "pre-norm": lambda: FusedFourierMix(HIDDEN, eps=0.1, scale=0.3, norm_first=True),
    "pre-norm, RMSNorm": lambda: FusedFourierMix(
        HIDDEN, eps=0.1, scale=0.3, norm_first=True, norm_type="rms"
    ),
    "RMSNorm": lambda: FusedFourierMix(HIDDEN, eps=0.1, norm_type="rms"),
    "functions": InUse,
    "layer": lambda: FNetEncoderLayer(HIDDEN, 32),
    "encoder": lambda: FNetEncoder(2, HIDDEN, 32),
}


def test_batch_and_seq_may_be_free() -> None:
    models = {name: randomised(build()) for name, build in MODELS.items()}
    together = Together(*models.values()).eval()
    x = torch.randn(2, 6, HIDDEN)
    free = ([FREE] * len(models),)
    exported = Exported(together, ([x] * len(models),), dynamic_shapes=free)
    shapes = [result.shape for result in exported.session.get_outputs()]
    assert shapes == [["batch", "seq", HIDDEN]] * len(models)
    for batch, seq in ((2, 6), (1, 1), (5, 2), (1, 37), (3, 64)):
        x = torch.randn(batch, seq, HIDDEN)
        results = exported(*[x] * len(models))
        for (name, model), result in zip(models.items(), results, strict=True):
            assert relative_error(result, model(x)) <= 1e-5, name


@pytest.mark.parametrize(
    "options", [{"padding": "zero"}, {"padding": "exact"}, {"padding": "exact", "round_to": 4}]
)
def test_lengths_may_be_free(options: dict[str, Any]) -> None:
    model = randomised(FNetEncoder(2, HIDDEN, 32, **options)).eval()

    def inputs(seq: int, lengths: list[int]) -> tuple[Tensor, Tensor]:
        mask = torch.arange(seq) < torch.tensor(lengths)[:, None]
        return torch.randn(len(lengths), seq, HIDDEN), mask

    exported = Exported(model, inputs(6, [6, 2]), dynamic_shapes=(FREE, FREE))
    for seq, lengths in ((6, [3, 5]), (16, [16, 5, 9, 0]), (37, [1, 37])):
        x, mask = inputs(seq, lengths)
        result, truth = exported(x, mask)[0], model(x, mask)
        assert relative_error(result, truth) <= 1e-5
        assert relative_error(model(x), truth) > 1e-2


def test_every_mixer() -> None:
    mixers = {name: create_mixer(name, HIDDEN, 12) for name in list_mixers()}
    together = Together(*mixers.values()).eval()
    x = torch.randn(2, 12, HIDDEN)
    results = Exported(together, ([x] * len(mixers),))(*[x] * len(mixers))
    for (name, mixer), result in zip(mixers.items(), results, strict=True):
        assert relative_error(result, mixer(x)) <= 1e-5, name


def test_fixed_shapes() -> None:
    shapes = [(6, 8), (2, 1, 7), (1, 2), (2, 2, 512, 96), (1, 3, 768)]
    together = Together(*(randomised(FusedFourierMix(shape[-1])) for shape in shapes)).eval()
    inputs = [torch.randn(shape) for shape in shapes]
    results = Exported(together, (inputs,))(*inputs)
    for result, truth in zip(results, together(inputs), strict=True):
        assert result.shape == truth.shape
        assert relative_error(result, truth) <= 1e-5


def test_every_length_may_be_free() -> None:
    model = FourierMix().eval()
    free = ({**FREE, 2: Dim("hidden")},)
    exported = Exported(model, (torch.randn(2, 6, 8),), dynamic_shapes=free)
    for shape in ((1, 1, 1), (2, 7, 9), (3, 8, 5)):
        assert_same(exported, model, torch.randn(shape))


def test_the_size_of_fnet_base() -> None:
    """Also rows that are nearly constant, or small against eps."""
    model = randomised(FusedFourierMix(768, eps=1e-12))
    exported = Exported(model, (torch.randn(2, 512, 768),), dynamic_shapes=(FREE,))
    x = torch.randn(2, 512, 768)
    assert_same(exported, model, x)
    assert_same(exported, model, x + 3)
    assert_same(exported, model, x[:1, :64] * 1e-7)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_dtypes(dtype: torch.dtype) -> None:
    """Without GELU, whose constants torch writes as float32."""
    mix, fused = FourierMix(scale=0.3), FusedFourierMix(HIDDEN, scale=0.1)
    model = randomised(Together(mix, fused)).to(dtype)
    inputs = [torch.randn(2, 6, HIDDEN, dtype=dtype)] * 2
    exported = Exported(model, (inputs,), dynamic_shapes=([FREE, FREE],))
    for result, truth in zip(exported(*inputs), model(inputs), strict=True):
        assert result.dtype == dtype
        assert_close(result, truth, factor=2)


def test_bfloat16() -> None:
    """NumPy has no bfloat16, so it stays inside."""

    class Narrow(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            narrow = fourier_mix(x.bfloat16(), scale=0.3)
            return fnet_kernels.fused_fourier_mix(narrow).float()

    x = torch.randn(2, 6, HIDDEN)
    (result,) = Exported(Narrow().eval(), (x,))(x)
    assert_close(result.bfloat16(), Narrow()(x), factor=2)


class Training(nn.Module):
    """The operator that training uses, with all that it returns."""

    def __init__(self, affine: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(HIDDEN)) if affine else None

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return operators.fused_fourier_mix_train(x, self.weight, self.weight, 1e-3, 0.3)


@pytest.mark.parametrize("affine", [True, False])
def test_the_training_operator(affine: bool) -> None:
    model = Training(affine)
    x = torch.randn(2, 6, HIDDEN)
    program = torch.export.export(model, (x,), dynamic_shapes=(FREE,))
    exported = Exported(program)
    x = torch.randn(3, 9, HIDDEN)
    for result, truth in zip(exported(x), model(x), strict=True):
        assert_close(result, truth.detach(), factor=10)


@pytest.mark.filterwarnings("ignore:Exporting a model while it is in training mode")
def test_an_encoder_in_training_mode() -> None:
    model = FNetEncoder(1, HIDDEN, 32, dropout=0.0).train()
    x = torch.randn(2, 6, HIDDEN)
    assert_same(Exported(model, (x,)), model, x)


def test_a_patched_model_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.FNetConfig(
        vocab_size=100, hidden_size=HIDDEN, intermediate_size=32, num_hidden_layers=2
    )
    model = randomised(transformers.FNetModel(config))
    assert len(hf.patch_fnet(model).changed) == 2
    ids = torch.randint(4, 100, (2, 6))
    shapes = {"input_ids": FREE}
    exported = Exported(model, (), kwargs={"input_ids": ids}, dynamic_shapes=shapes)
    for shape in ((2, 6), (1, 16), (3, 11)):
        ids = torch.randint(4, 100, shape)
        for result, truth in zip(exported(ids), model(ids).to_tuple(), strict=True):
            assert relative_error(result, truth) <= 1e-5


class Orthonormal(nn.Module):
    """A scale that depends on a free length. torch gives such numbers to ONNX as float32."""

    def forward(self, x: Tensor) -> Tensor:
        scale = (x.shape[-1] * x.shape[-2]) ** -0.5
        return composed.fused_fourier_mix(x, None, None, 0.1, scale)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_scale_that_the_graph_computes(dtype: torch.dtype) -> None:
    x = torch.randn(2, 6, HIDDEN, dtype=dtype)
    exported = Exported(Orthonormal().eval(), (x,), dynamic_shapes=(FREE,))
    for seq in (6, 9):
        assert_same(exported, Orthonormal(), torch.randn(1, seq, HIDDEN, dtype=dtype), most=1e-6)


@pytest.mark.parametrize("opset", [17, 23])
def test_opsets(opset: int) -> None:
    model = randomised(FusedFourierMix(HIDDEN))
    x = torch.randn(2, 6, HIDDEN)
    exported = Exported(model, (x,), opset_version=opset, dynamic_shapes=(FREE,))
    assert exported.opset == opset
    assert_same(exported, model, x)


def test_all_layers_share_the_matrices() -> None:
    """Known lengths leave nothing to compute; the file stays small."""
    model = FNetEncoder(3, HIDDEN, 32).eval()
    x = torch.randn(2, 6, HIDDEN)
    free = Exported(model, (x,), dynamic_shapes=(FREE,))
    assert free.count["Cos"] == free.count["Sin"] == 1  # of the sequence
    assert free.count["MatMul"] == 3 * (4 + 2)  # four to mix, two dense
    fixed = Exported(FourierMix().eval(), (x,))
    assert fixed.count["Cos"] == fixed.count["Mod"] == 0
    long = Exported(FourierMix().eval(), (torch.randn(1, 4096, HIDDEN),))
    assert len(long.program.model_proto.SerializeToString()) < 1e6


def test_the_comparison_sees_an_error() -> None:
    x = torch.randn(2, 6, HIDDEN)
    exported = Exported(FourierMix(scale=0.3).eval(), (x,))
    with pytest.raises(AssertionError):
        assert_same(exported, FourierMix(scale=0.3001), x)


@pytest.mark.parametrize("grad", [True, False])
def test_torchscript_export_says_what_to_do(grad: bool, tmp_path: Path) -> None:
    for name in ("mix", "fused", "encoder"):
        model, file = MODELS[name](), tmp_path / "model.onnx"
        x = torch.randn(2, 6, HIDDEN, requires_grad=grad)
        refused = pytest.raises(torch.onnx.OnnxExporterError, match="export with dynamo=True")
        with torch.set_grad_enabled(grad), refused:
            torch.onnx.export(model, (x,), file, dynamo=False)


@pytest.mark.parametrize("shape", [(2, 6, 8), (7, 5), (1, 1), (2, 0, 3), (2, 3, 0), (0, 3, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_decompositions_are_the_operators(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = torch.randn(shape, dtype=dtype)
    weight, bias = torch.randn(2, shape[-1], dtype=dtype)
    table = decompositions()
    for op, args in (
        (operators.fourier_mix.default, (x, 0.3, True)),
        (operators.fourier_mix.default, (x,)),
        (operators.hartley_mix.default, (x, 0.3)),
        (operators.fused_fourier_mix.default, (x, weight, bias, 0.1, 0.3)),
        (operators.fused_fourier_mix_train.default, (x, None, bias, 0.1, 0.3)),
        (operators.fused_rms_fourier_mix.default, (x, weight, bias, 0.1, 0.3)),
        (operators.fused_rms_fourier_mix_train.default, (x, weight, None, 0.1, 0.3)),
        (operators.residual_fourier_mix.default, (x, x + 1, 0.3)),
        (operators.prenorm_fourier_mix.default, (x, weight, bias, 0.1, 0.3, False)),
        (operators.prenorm_fourier_mix.default, (x, weight, None, 0.1, 0.3, True)),
    ):
        results, truths = table[op](*args), op(*args)
        if isinstance(results, Tensor):
            results, truths = [results], [truths]
        for result, truth in zip(results, truths, strict=True):
            assert (result.shape, result.dtype) == (truth.shape, truth.dtype)
            if not truth.any():  # RMSNorm's means
                assert not result.any()
            elif x.numel() > 1:
                assert_close(result, truth, factor=4)


def test_each_caller_gets_a_dict_of_its_own() -> None:
    assert decompositions() == decompositions()
    assert decompositions() is not decompositions()


def test_other_exporters_may_ask_for_aten_alone() -> None:
    model = randomised(FNetEncoder(1, HIDDEN, 32))
    x = torch.randn(2, 6, HIDDEN)
    program = torch.export.export(model, (x,)).run_decompositions(decompositions())
    names = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert not [name for name in names if name.startswith("fnet_kernels")]
    assert_close(program.module()(x), model(x).detach(), factor=4)


def test_tracing_keeps_the_operators_and_their_shapes() -> None:
    """The decompositions are for exporters; fake tensors must not run them."""
    x = torch.randn(2, 6, HIDDEN)
    program = torch.export.export(FourierMix(), (x,), dynamic_shapes=(FREE,))
    (call,) = [node for node in program.graph.nodes if node.op == "call_function"]
    assert call.target == operators.fourier_mix.default
    assert call.meta["val"].shape == call.args[0].meta["val"].shape


def test_the_import_of_the_package_imports_no_exporter(forks: Forks) -> None:
    code = (
        "import sys, fnet_kernels; slow = ('onnx', 'onnxscript', 'torch.onnx');"
        "print([name for name in slow if name in sys.modules])"
    )
    found = forks.run(code)
    assert (found.returncode, found.stdout) == (0, "[]\n"), found.stderr
