"""Parameters of the authors' code, `f_net` in google-research, for the models of this library."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from fnet_kernels._ops.checks import kind
from fnet_kernels._sublayers import AttentionSublayer
from fnet_kernels.models.config import FNetConfig, check_config
from fnet_kernels.models.heads import FNetForSequenceClassification
from fnet_kernels.models.vocabulary_heads import FNetForPreTraining

__all__ = ["from_jax"]

_MIXERS = ("fourier", "linear", "none", "attention")
# What flax calls the parameters of a module.
_DENSE = {"weight": "kernel", "bias": "bias"}
_EMBEDDING = {"weight": "embedding"}
_NORM = {"weight": "scale", "bias": "bias"}
_OUTPUT = {"weight": "output_kernel", "bias": "output_bias"}  # OutputProjection of f_net/layers.py
_LINEAR = {"seq_kernel": "seq_kernel", "hidden_kernel": "hidden_kernel"}

# Our module, the authors' module, and what the latter calls its parameters; `{i}` is the layer.
_MODULES = (
    ("fnet.embeddings.word_embeddings", "encoder/embedder/word", _EMBEDDING),
    ("fnet.embeddings.position_embeddings", "encoder/embedder/position", _EMBEDDING),
    ("fnet.embeddings.token_type_embeddings", "encoder/embedder/type", _EMBEDDING),
    ("fnet.embeddings.LayerNorm", "encoder/embedder/layer_norm", _NORM),
    ("fnet.embeddings.projection", "encoder/embedder/hidden_mapping_in", _DENSE),
    ("fnet.pooler.dense", "encoder/pooler", _DENSE),
    ("cls.predictions.transform.dense", "predictions_dense", _DENSE),
    ("cls.predictions.transform.LayerNorm", "predictions_layer_norm", _NORM),
    ("cls.predictions", "predictions_output", _OUTPUT),
    ("cls.predictions.decoder", "predictions_output", {"bias": "output_bias"}),
    ("cls.predictions.decoder", "encoder/embedder/word", _EMBEDDING),  # always tied there
    ("cls.seq_relationship", "classification", _OUTPUT),
    ("classifier", "classification", _OUTPUT),
)
_LAYER_MODULES = (
    ("fourier.self", "linear_transform_{i}", _LINEAR),
    ("fourier.output.LayerNorm", "encoder_{i}/mixing_layer_norm", _NORM),
    ("attention.self.query", "self_attention_{i}/query", _DENSE),
    ("attention.self.key", "self_attention_{i}/key", _DENSE),
    ("attention.self.value", "self_attention_{i}/value", _DENSE),
    ("attention.output.dense", "self_attention_{i}/out", _DENSE),
    ("attention.output.LayerNorm", "encoder_{i}/mixing_layer_norm", _NORM),
    ("intermediate.dense", "feed_forward_{i}/intermediate", _DENSE),
    ("output.dense", "feed_forward_{i}/output", _DENSE),
    ("output.LayerNorm", "encoder_{i}/output_layer_norm", _NORM),
)


def from_jax(params: Mapping[str, Any], config: FNetConfig) -> dict[str, Tensor]:
    """Convert the parameters of `PreTrainingModel` or `SequenceClassificationModel` in `f_net`.

    The state dict loads into `FNetForPreTraining`, or into `FNetForSequenceClassification` if
    `params` has no MLM head. It covers the mixers "fourier", "linear", "none" and "attention", and
    hybrids with attention. The matrices of "random" are not in `params`: JAX's generator makes them
    again in each run.

    Args:
        params: nested mappings of arrays, for example `checkpoint["target"]` where
            `checkpoint = flax.training.checkpoints.restore_checkpoint(path, None)`.
        config: sizes, mixer and attention layers of the model, and `num_labels` of a classifier.

    Returns:
        Tensors in float32 on the CPU.

    Raises:
        TypeError: `params` is not a mapping, or `config` not an `FNetConfig`.
        ValueError: the authors' code does not have the mixer; or an array is missing, unknown or of
            another shape than `config` says: the error names its path and the expected shape.

    >>> import torch
    >>> from fnet_kernels.models import FNetConfig
    >>> from fnet_kernels.models.from_jax import from_jax
    >>> try:
    ...     from_jax({"encoder": {"pooler": {"bias": torch.zeros(64)}}}, FNetConfig.mini())
    ... except ValueError as error:
    ...     print(str(error).partition(",")[0])
    from_jax: params lacks encoder/embedder/word/embedding
    """
    if not isinstance(params, Mapping):
        raise TypeError(f"from_jax: params must be a mapping, got {kind(params)}")
    check_config("from_jax", config)
    if config.mixer not in _MIXERS:
        known = ", ".join(map(repr, _MIXERS))
        raise ValueError(f"from_jax: config.mixer must be one of {known}; got {config.mixer!r}")
    model_class = (
        FNetForPreTraining if "predictions_dense" in params else FNetForSequenceClassification
    )
    with torch.device("meta"):
        model = model_class(config)
    expected = model.state_dict(keep_vars=True)
    arrays = dict(_flat(params))
    paths = _paths(config.num_hidden_layers)
    # Tied parameters have one path, that of their first name.
    first = {id(tensor): name for name, tensor in reversed(expected.items())}
    path_of = {name: paths[first[id(tensor)]] for name, tensor in expected.items()}
    if missing := dict.fromkeys(path for path in path_of.values() if path not in arrays):
        raise ValueError(f"from_jax: params lacks {', '.join(missing)}")
    if unknown := arrays.keys() - path_of.values():
        raise ValueError(
            f"from_jax: {model_class.__name__} with this config has no parameters for"
            f" {', '.join(sorted(unknown))}"
        )
    heads = [m.self.heads for m in model.modules() if isinstance(m, AttentionSublayer)]
    by_head = (heads[0], config.hidden_size // heads[0]) if heads else ()
    return {
        name: _converted(path_of[name], arrays[path_of[name]], tensor.shape, by_head)
        for name, tensor in expected.items()
    }


def _paths(layers: int) -> dict[str, str]:
    """The path in the authors' tree of every parameter of ours."""
    modules = [
        *_MODULES,
        *(
            (f"fnet.encoder.layer.{i}.{ours}", f"encoder/{theirs.format(i=i)}", names)
            for i in range(layers)
            for ours, theirs, names in _LAYER_MODULES
        ),
    ]
    return {
        f"{ours}.{parameter}": f"{theirs}/{array}"
        for ours, theirs, names in modules
        for parameter, array in names.items()
    }


def _converted(path: str, array: Any, shape: torch.Size, by_head: tuple[int, ...]) -> Tensor:
    """Return `array` with the axes of our parameter, whose shape is `shape`.

    Attention has `by_head`, (heads, size of a head), in place of its axis of all heads.
    """
    import numpy

    kernel = path.endswith("/kernel")  # input axes before output axes
    theirs: tuple[int, ...] = tuple(reversed(shape)) if kernel else tuple(shape)
    if path == "encoder/embedder/position/embedding":
        theirs = (1, *theirs)
    elif "/self_attention_" in path and "/out/" not in path:
        theirs = (*theirs[:-1], *by_head)
    elif "/self_attention_" in path and kernel:
        theirs = (*by_head, theirs[-1])
    tensor = torch.tensor(numpy.asarray(array, dtype=numpy.float32))
    if tensor.shape != theirs:
        raise ValueError(f"from_jax: {path} must have shape {theirs}, got {tuple(tensor.shape)}")
    if kernel:
        return tensor.reshape(tuple(reversed(shape))).T.contiguous()
    return tensor.reshape(shape)


def _flat(params: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in params.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{name}/")
        else:
            yield f"{path}{name}", value
