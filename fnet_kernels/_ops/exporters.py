"""Tells torch's exporters to ONNX about the operators."""

from __future__ import annotations

from typing import Any, NoReturn

from torch._decomp import decomposition_table, meta_table

from fnet_kernels._ops.composed import DECOMPOSITIONS
from fnet_kernels._ops.fake import FAKES
from fnet_kernels._ops.inductor import never_decompose
from fnet_kernels._ops.on_import import after_import

# torch.onnx.export(dynamo=True) decomposes the operators in this table that it cannot translate.
# Fake tensors of unknown size would do so too, unless the operator has a Python meta function.
decomposition_table.update(DECOMPOSITIONS)
meta_table.update(FAKES)
never_decompose(DECOMPOSITIONS)


def _refuse_torchscript(*_: Any) -> NoReturn:
    from torch.onnx import OnnxExporterError

    raise OnnxExporterError(
        "fnet_kernels: the operators have no translation for torch.onnx.export(dynamo=False);"
        " export with dynamo=True, the default of torch, which needs `pip install onnx onnxscript`"
    )


def _register_torchscript() -> None:
    from torch.onnx import register_custom_op_symbolic  # type: ignore[attr-defined]

    oldest_opset = 7
    for op in DECOMPOSITIONS:
        name = op.name()  # type: ignore[no-untyped-call]
        register_custom_op_symbolic(name, _refuse_torchscript, oldest_opset)


after_import("torch.onnx", _register_torchscript)
