"""Checkpoints in the format of transformers: `config.json` and `model.safetensors`.

The functions behind `from_pretrained` and `save_pretrained` of every model.
"""

from __future__ import annotations

import dataclasses
import json
import os
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import torch
from torch import Tensor

from fnet_kernels._ops.checks import check_dtype
from fnet_kernels.models._saved import class_name, saved_tensors
from fnet_kernels.models._source import CONFIG, SAFETENSORS, Source, optional_module
from fnet_kernels.models.config import FNetConfig
from fnet_kernels.models.pretrained import FNetPreTrained, same_values

__all__ = ["load", "save"]

_Model = TypeVar("_Model", bound="FNetPreTrained")
_BASE = "fnet."  # before the names of FNetModel in the classes with a head
_TRUNK = ("embeddings.", "encoder.")
# Constants that older versions of transformers, or its TPU mode, save.
_CONSTANTS = (".position_ids", ".token_type_ids", ".dft_mat_hidden", ".dft_mat_seq")


def load(
    cls: type[_Model],
    source: str | os.PathLike[str],
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    **overrides: Any,
) -> _Model:
    """Load a model from a checkpoint of this library or of transformers, in evaluation mode.

    Reads `model.safetensors` or `pytorch_model.bin` (with `weights_only`), whole or in shards with
    an index. A model without a head loads from one with a head, and the reverse: weights that the
    checkpoint lacks keep their initialisation. One warning names them, and the tensors that are not
    used.

    Args:
        cls: a class of `fnet_kernels.models`.
        source: a directory, or the name of a repository on the Hugging Face hub.
        device: device of the model.
        dtype: dtype of the model; the widest in the checkpoint if None.
        revision: branch, tag or commit on the hub.
        cache_dir: where the hub's files are kept, as in `huggingface_hub`.
        local_files_only: do not download, use what is kept.
        overrides: fields of the config that differ from the file, for example `num_labels`.

    Raises:
        TypeError: `source` is no path, `dtype` not supported, or the config has no such field.
        FileNotFoundError: no such directory, or a file is missing.
        ValueError: the checkpoint is of another architecture, a file is not readable, a tensor has
            another shape than the config says, or the embeddings or the encoder are incomplete.
        ImportError: `safetensors` or `huggingface_hub` is needed and not installed.

    >>> import tempfile
    >>> from fnet_kernels.models import FNetConfig, FNetForMaskedLM, FNetModel, checkpoint
    >>> directory = tempfile.mkdtemp()
    >>> checkpoint.save(FNetForMaskedLM(FNetConfig.mini(vocab_size=100)), directory)
    >>> model = checkpoint.load(FNetModel, directory, dtype=torch.bfloat16)
    >>> model.pooler.dense.weight.dtype
    torch.bfloat16
    """
    owner = f"{cls.__name__}.from_pretrained"
    check_dtype(owner, dtype)
    files = Source(owner, source, revision, cache_dir, local_files_only)
    config = _config(files, overrides)
    tensors = files.tensors()
    with nullcontext() if device is None else torch.device(device):
        model = cls(config)
    floats = {tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()}
    model.to(dtype=dtype or (reduce(torch.promote_types, floats) if floats else None))
    _fill(files, model, tensors)
    return model.eval()


def save(
    model: FNetPreTrained,
    directory: str | os.PathLike[str],
    *,
    state_dict: Mapping[str, Tensor] | None = None,
) -> None:
    """Write `config.json` and `model.safetensors`, which replace older ones when complete.

    A model whose every layer is the paper's Fourier mixing, with padding as tokens, is saved as
    `model_type: "fnet"`, which transformers loads. All others are saved as `"fnet_kernels"`:
    transformers would ignore the mixer and the padding. It loads them after
    `fnet_kernels.hf.register()`.

    Args:
        model: an object of a class of `fnet_kernels.models`.
        directory: made if it does not exist.
        state_dict: saved in place of `model.state_dict()`, for example what
            `torch.distributed.checkpoint.state_dict.get_model_state_dict` gathers of a sharded
            model. A tied weight may have one of its names or both.

    Raises:
        ImportError: `safetensors` is not installed.
        TypeError: the configuration holds a value that JSON cannot represent, `state_dict` is not a
            mapping, or a value of it or of the model is not a plain tensor, as in a quantized
            model, or is a DTensor.
        ValueError: weights that the configuration ties are not tied, a tensor of the model is
            pruned or parametrized, a name of `state_dict` is missing or unknown, or a tensor has
            another shape than in the model or is on meta.

    See `load` for an example.
    """
    owner = f"{class_name(model)}.save_pretrained"
    safetensors = optional_module(owner, "safetensors.torch")
    tensors = saved_tensors(owner, model, state_dict)
    # Before anything is replaced: values of the user may have no JSON.
    text = json.dumps(_saved_config(model, tensors), indent=2, sort_keys=True) + "\n"
    os.makedirs(directory, exist_ok=True)
    with _replacing(Path(directory, SAFETENSORS)) as path:
        safetensors.save_file(tensors, path, metadata={"format": "pt"})
    with _replacing(Path(directory, CONFIG)) as path:
        path.write_text(text, encoding="utf-8")


def _is_plain(config: FNetConfig) -> bool:
    """Whether transformers' own FNet classes compute what `config` describes."""
    plain = {
        "mixer": "fourier",
        "mixer_args": {},
        "gain": "paper",
        "num_attention_layers": 0,
        "padding": "tokens",
        "pooling": "first",
    }
    return all(getattr(config, field) == value for field, value in plain.items())


def _config(files: Source, overrides: Mapping[str, Any]) -> FNetConfig:
    fields = {field.name for field in dataclasses.fields(FNetConfig)}
    for name in overrides:
        if name not in fields:
            raise TypeError(
                f"{files.owner}: {name!r} is neither an option nor a field of FNetConfig"
            )
    saved = files.config()
    if saved.get("model_type") not in ("fnet", "fnet_kernels"):
        raise ValueError(
            f"{files.owner}: {CONFIG} of {files.name} must have model_type 'fnet' or"
            f" 'fnet_kernels'; got {saved.get('model_type')!r}"
        )
    return FNetConfig.from_dict(saved, **overrides)


def _saved_config(model: FNetPreTrained, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    config = model.config.to_dict()
    plain = _is_plain(model.config)
    name = class_name(model)
    return {
        **config,
        "model_type": "fnet" if plain else "fnet_kernels",
        "architectures": [name if plain else name.replace("FNet", "FNetMixer", 1)],
        "dtype": str(next(iter(tensors.values())).dtype).removeprefix("torch."),
    }


def _fill(files: Source, model: FNetPreTrained, tensors: Mapping[str, Tensor]) -> None:
    """Copy `tensors` into `model`."""
    state = model.state_dict(keep_vars=True)
    tensors = _renamed(tensors, has_head=any(name.startswith(_BASE) for name in state))
    tied: dict[int, list[str]] = {}
    for name, target in state.items():
        tied.setdefault(id(target), []).append(name)

    missing, differing = [], []
    with torch.no_grad():
        for names in tied.values():
            target = state[names[0]]
            given = [name for name in names if name in tensors]
            if not given:
                missing.append(names[0])
                continue
            tensor = tensors[given[0]]
            for name in given:
                if tensors[name].shape != target.shape:
                    shapes = f"{tuple(tensors[name].shape)}, not {tuple(target.shape)}"
                    differing.append(f"{name} has shape {shapes}")
                elif tensors[name].dtype != tensor.dtype:
                    dtypes = f"{tensors[name].dtype}, not {tensor.dtype}"
                    differing.append(f"{name} has {dtypes}, as {given[0]}, to which it is tied")
                elif name != given[0] and not same_values(tensors[name], tensor):
                    differing.append(f"{name} differs from {given[0]}, to which it is tied")
            if not differing:
                target.copy_(tensor)
    if differing:
        raise ValueError(f"{files.owner}: in {files.name}, {_some(differing, '; ')}")
    if lost := [name for name in missing if name.removeprefix(_BASE).startswith(_TRUNK)]:
        raise ValueError(f"{files.owner}: {files.name} lacks {_some(lost)}")
    _warn(files, missing, [name for name in tensors if name not in state])


def _renamed(tensors: Mapping[str, Tensor], *, has_head: bool) -> dict[str, Tensor]:
    """Rename from a model with a head to one without, or the reverse, and drop constants."""
    tensors = {name: t for name, t in tensors.items() if not name.endswith(_CONSTANTS)}
    saved_head = any(name.startswith(_BASE) for name in tensors)
    if saved_head and not has_head:  # what is not below the prefix is the head
        return {
            name.removeprefix(_BASE): t for name, t in tensors.items() if name.startswith(_BASE)
        }
    if has_head and not saved_head:
        return {_BASE + name: t for name, t in tensors.items()}
    return tensors


def _warn(files: Source, new: Collection[str], unused: Collection[str]) -> None:
    notes = []
    if new:
        notes.append(f"{_some(new)} are not in it and are new: train them before use")
    if unused:
        notes.append(f"{_some(unused)} are not used")
    if notes:
        # The stack: _warn, _fill, load, from_pretrained, its caller.
        warnings.warn(f"{files.owner}: {files.name}: {'; '.join(notes)}", stacklevel=5)


def _some(names: Collection[str], separator: str = ", ") -> str:
    shown = separator.join(list(names)[:10])
    return shown if len(names) <= 10 else f"{shown}{separator}and {len(names) - 10} more"


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Give a new path, whose file replaces that of `path` at the end, or is gone after an error."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")  # another may write the same file
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
