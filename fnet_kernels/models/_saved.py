"""The tensors that a checkpoint of a model holds.

defines: class_name, saved_tensors
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize, prune
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from fnet_kernels._ops.checks import kind
from fnet_kernels.models.pretrained import FNetPreTrained, same_values

_COMPILED = "_orig_mod."  # what torch.compile puts into the names of a module's tensors
_GATHER = (
    "torch.distributed.checkpoint.state_dict.get_model_state_dict(model,"
    " options=StateDictOptions(full_state_dict=True, cpu_offload=True))"
)


def class_name(model: FNetPreTrained) -> str:
    """The class of `model`, not one that torch derives from it, as `fully_shard` does."""
    classes = type(model).__mro__
    return next(cls.__name__ for cls in classes if not cls.__module__.startswith("torch."))


def saved_tensors(
    owner: str, model: FNetPreTrained, state_dict: Mapping[str, Tensor] | None
) -> dict[str, Tensor]:
    """The tensors of `model`, or of `state_dict`, in the order and with the names of the model.

    A weight that the configuration ties has its source's name alone, as in transformers' files.

    Raises:
        TypeError: `state_dict` is not a mapping of tensors, a value in the model is no plain
            tensor, or a tensor is a DTensor.
        ValueError: a tensor cannot be loaded again, or `state_dict` is not of this model.
    """
    _check_plain(owner, model)
    own = _named(model.state_dict(keep_vars=True))
    tied = dict(model.tied_weights) if model.config.tie_word_embeddings else {}
    state = own if state_dict is None else _checked(owner, own, tied, state_dict)
    for name, tensor in state.items():
        _check_tensor(owner, name, tensor)
    _check_tied(owner, tied, state)
    return _unshared({name: state[name] for name in own if name in state and name not in tied})


def _named(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.replace(_COMPILED, ""): tensor for name, tensor in state.items()}


def _check_plain(owner: str, model: nn.Module) -> None:
    """Check that no tensor is computed from others, whose names a new model does not have."""
    for path, module in model.named_modules():
        for tensor, what, remedy in _computed(module):
            name = f"{path}.{tensor}".replace(_COMPILED, "").lstrip(".")
            raise ValueError(
                f"{owner}: {name} must be an ordinary parameter; got a {what} one, whose parts"
                f" from_pretrained does not know: call {remedy}(module, {tensor!r}) first"
            )


def _computed(module: nn.Module) -> Iterator[tuple[str, str, str]]:
    """For each tensor of `module` that is computed: its name, how, and what undoes that."""
    if parametrize.is_parametrized(module):
        for tensor in module.parametrizations:  # type: ignore[union-attr]
            remedy = "torch.nn.utils.parametrize.remove_parametrizations"
            yield tensor, "parametrized", remedy
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, prune.BasePruningMethod):
            yield hook._tensor_name, "pruned", "torch.nn.utils.prune.remove"
        elif isinstance(hook, (WeightNorm, SpectralNorm)):
            norm = "weight" if isinstance(hook, WeightNorm) else "spectral"
            yield hook.name, "normalised", f"torch.nn.utils.remove_{norm}_norm"


def _checked(
    owner: str, own: Mapping[str, Tensor], tied: Mapping[str, str], state_dict: Any
) -> dict[str, Tensor]:
    """`state_dict` with the names of `own`, without those that are tied to others."""
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"{owner}: state_dict must be a mapping, got {kind(state_dict)}")
    state = _named(state_dict)
    for name, source in tied.items():
        if name in state:
            state.setdefault(source, state[name])
    if unknown := [name for name in state if name not in own]:
        raise ValueError(f"{owner}: state_dict must have the names of the model; got {unknown[0]}")
    if missing := [name for name in own if name not in state and name not in tied]:
        raise ValueError(
            f"{owner}: state_dict must have all names of the model; it has {len(state)} names"
            f" without {missing[0]}"
        )
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{owner}: {name} in state_dict must be a tensor, got {kind(tensor)}")
        if tensor.shape != own[name].shape:
            raise ValueError(
                f"{owner}: {name} in state_dict must have shape {tuple(own[name].shape)}, as in the"
                f" model; got shape {tuple(tensor.shape)}"
            )
    return state


def _check_tensor(owner: str, name: str, tensor: Any) -> None:
    if hasattr(tensor, "full_tensor"):
        raise TypeError(
            f"{owner}: {name} must be a whole tensor, got a DTensor, of which each process holds a"
            f" shard: call {_GATHER} in all processes, and pass its result as state_dict in the"
            " process of rank 0"
        )
    if not isinstance(tensor, Tensor) or hasattr(tensor, "__tensor_flatten__"):
        raise TypeError(
            f"{owner}: {name} must be a plain tensor, got {kind(tensor)}, as in a quantized model:"
            " save the model before you quantize it"
        )
    if tensor.is_meta:
        raise ValueError(f"{owner}: {name} must have values, got a tensor on meta")


def _check_tied(owner: str, tied: Mapping[str, str], state: Mapping[str, Tensor]) -> None:
    for name, source in tied.items():
        if name not in state or source not in state or state[name] is state[source]:
            continue
        one, other = state[name].detach(), state[source].detach()
        alike = (one.dtype, one.shape) == (other.dtype, other.shape)
        if not (alike and same_values(one, other)):
            raise ValueError(
                f"{owner}: {name} must be {source}, to which the configuration ties it; call"
                " tie_weights() after a change of the encoder alone"
            )


def _unshared(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` for a file, which holds a tensor of several modules once for each."""
    seen: set[int] = set()
    tensors = {}
    for name, tensor in state.items():
        storage = tensor.untyped_storage().data_ptr()
        tensors[name] = tensor.detach().clone() if storage in seen else tensor.detach().contiguous()
        seen.add(storage)
    return tensors
