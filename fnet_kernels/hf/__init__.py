"""Fused mixing for Hugging Face `transformers`: one line patches an existing model.

    from fnet_kernels import hf
    model = FNetModel.from_pretrained("google/fnet-base")
    print(hf.patch_fnet(model))        # patched 12 FNet layers

Importing this module does not import `transformers`; calling its functions does.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from torch import nn

from fnet_kernels._padding import Padding

_HINT = (
    "patch_fnet and unpatch_fnet change the model in place and return a report; keep using the"
    " model"
)


@dataclass(frozen=True)
class PatchReport:
    """What `patch_fnet` or `unpatch_fnet` did. `str()` gives a readable summary.

    A report is not a model. Calling it raises a TypeError, and reading an attribute of a model an
    AttributeError; both say that the model changed in place.
    """

    #: "patched" or "unpatched".
    action: str
    #: Names of the changed layers.
    changed: tuple[str, ...]
    #: Names of the layers that already were in the requested state.
    unchanged: tuple[str, ...]
    #: Names of the skipped layers, with the reasons.
    skipped: Mapping[str, str] = field(default_factory=dict, hash=False)
    #: What padding means to the model now: "tokens", "zero" or "exact".
    padding: str = "tokens"

    def __str__(self) -> str:
        text = f"{self.action} {len(self.changed)} FNet layers"
        if self.unchanged:
            text += f", {len(self.unchanged)} already {self.action}"
        if self.padding != "tokens":
            text += f", padding={self.padding!r}"
        for name, reason in self.skipped.items():
            text += f"\n  skipped {name}: {reason}"
        return text

    if not TYPE_CHECKING:  # type checkers report such uses without these

        def __call__(self, *args: object, **kwargs: object) -> NoReturn:
            raise TypeError(_HINT)

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(f"PatchReport has no attribute {name!r}: {_HINT}")


def patch_fnet(
    model: nn.Module, *, padding: str = "tokens", round_to: int | None = None
) -> PatchReport:
    """Make the FNet layers of a `transformers` model run the fused operator, in place.

    Works on every FNet class of `transformers` 5 and on modules that contain one, in training and
    evaluation, in every dtype of `fused_fourier_mix`, and with `torch.compile`. Parameters, buffers
    and the keys of `state_dict` do not change. Patching twice has no further effect, except that
    the last `padding` holds. Under `torch.autocast` a patched layer runs in float32, like the stock
    layer. Activations "gelu_new" of these layers and of FNet's heads become one kernel instead of
    eight; they differ by rounding.

    transformers drops the `attention_mask` of an FNet: padding is mixed as tokens. With `padding`
    "zero" or "exact" the layers use the mask, which must have its padding on the right, and the
    last hidden state has zeros there. With "exact" the result of each sequence is the same as
    alone, and the layers compute no padding. Sequences may then come packed in one row, as from
    `DataCollatorWithFlattening`: `cu_seq_lens_q` says where they start, or else `position_ids` that
    start again; heads of whole sequences return one row for each. Without a mask, rows have no
    padding. FNet's tokenizer returns a mask if asked for one:
    `tokenizer(texts, padding=True, return_attention_mask=True)`.

    Each call of a patched layer looks at the layer's LayerNorm. If that is an ordinary
    `nn.LayerNorm` on the device of the input, the layer runs `fused_fourier_mix`. If it is another
    class, a subclass or wrapper, hooked, parametrized, offloaded or sharded, the layer runs
    `fourier_mix` and calls the LayerNorm.

    Skips a layer, with a warning that names the reason, if the model uses
    `use_tpu_fourier_optimizations`; if the layer or its transform is replaced, subclassed or has
    another `forward` (hooks of `accelerate` set one: patch before dispatching). If the transform or
    the output module has hooks, the layer calls its modules.

    Args:
        model: any module that contains FNet layers.
        padding: how mixing treats padding: as "tokens", as published models were trained; as "zero"
            rows; or, with "exact", not at all: each sequence is mixed over its own length.
        round_to: with "exact", over the next multiple of it, filled with zeros.

    Returns:
        A report of the changed and the skipped layers.

    Raises:
        TypeError: `model` is not a module, or `round_to` not an integer.
        ValueError: `model` has no FNet layers; `padding` is none of the three; `round_to` is less
            than 1 or given without "exact"; or, with "zero" or "exact", a layer would be skipped,
            is in no `FNetModel`, or a module above it has another class or `forward` and may not
            hand the mask down.
        ImportError: `transformers` is not installed.

    >>> from transformers import FNetConfig, FNetModel
    >>> from fnet_kernels import hf
    >>> model = FNetModel(FNetConfig(hidden_size=64, intermediate_size=256, num_hidden_layers=2))
    >>> print(hf.patch_fnet(model))
    patched 2 FNet layers
    >>> print(hf.unpatch_fnet(model))
    unpatched 2 FNet layers
    >>> print(hf.patch_fnet(model, padding="exact"))
    patched 2 FNet layers, padding='exact'
    """
    _transformers()
    from fnet_kernels.hf._activation import fuse_activations
    from fnet_kernels.hf._layer import fuse, is_fused, why_not_fuse
    from fnet_kernels.hf._padding import pad_as

    meaning = Padding(padding, round_to).checked("patch_fnet")
    layers = _fnet_layers("patch_fnet", model)
    todo = {name: layer for name, layer in layers.items() if not is_fused(layer)}
    if padding != "tokens":
        _check_that_lengths_reach(model, layers, todo)
    pad_as(model, meaning)
    report = _change("patched", layers, todo, why_not_fuse, fuse)
    fuse_activations(model)
    return replace(report, padding=padding)


def unpatch_fnet(model: nn.Module) -> PatchReport:
    """Undo `patch_fnet`, in place and exactly.

    Skips a layer, with a warning, that another program has changed since: one that is subclassed
    (`fully_shard` does that) or has another `forward`.

    Args:
        model: any module that contains FNet layers, patched or not.

    Returns:
        A report of the changed and the skipped layers.

    Raises:
        TypeError: `model` is not a module.
        ValueError: `model` has no FNet layers.
        ImportError: `transformers` is not installed.

    >>> from transformers import FNetConfig, FNetModel
    >>> from fnet_kernels import hf
    >>> model = FNetModel(FNetConfig(hidden_size=64, intermediate_size=256, num_hidden_layers=2))
    >>> print(hf.unpatch_fnet(model))
    unpatched 0 FNet layers, 2 already unpatched
    """
    _transformers()
    from fnet_kernels.hf._activation import restore_activations
    from fnet_kernels.hf._layer import is_fused, restore, why_not_restore
    from fnet_kernels.hf._padding import pad_as

    layers = _fnet_layers("unpatch_fnet", model)
    pad_as(model, Padding())
    restore_activations(model)
    todo = {name: layer for name, layer in layers.items() if is_fused(layer)}
    return _change("unpatched", layers, todo, why_not_restore, restore)


def register() -> None:
    """Register the models of `fnet_kernels` with the Auto classes of `transformers`.

    Checkpoints of `model_type: "fnet_kernels"` differ from the paper's FNet in mixer, gain, padding
    or pooling, or have attention layers. They then load with `AutoModel.from_pretrained`, as
    subclasses of transformers' own FNet classes: Trainer, pipelines, peft and `push_to_hub` work
    with them. Their encoder layers are `fnet_kernels.FNetEncoderLayer`, with the fused operator if
    the mixer is "fourier". The `attention_mask` reaches attention layers and pooling by the mean;
    `padding` of the config says whether mixers see it too. Packed rows work as in `patch_fnet`.

    Mixers start as `create_mixer` makes them, all other parameters as in transformers. The field
    `chunk_size_feed_forward` of the config has no effect. Calling this again has no further effect.

    Raises:
        ImportError: `transformers` is not installed.

    >>> from fnet_kernels import hf
    >>> from transformers import AutoConfig, AutoModelForMaskedLM
    >>> hf.register()
    >>> config = AutoConfig.for_model("fnet_kernels", num_attention_layers=1, num_hidden_layers=2)
    >>> type(AutoModelForMaskedLM.from_config(config)).__name__
    'FNetMixerForMaskedLM'
    """
    transformers = _transformers()
    from fnet_kernels.hf._mixer_models import AUTO_CLASSES, FNetMixerConfig

    model_type = FNetMixerConfig.model_type
    transformers.AutoConfig.register(model_type, FNetMixerConfig, exist_ok=True)
    for suffix, model in AUTO_CLASSES.items():
        auto = getattr(transformers, f"AutoModel{suffix}")
        auto.register(FNetMixerConfig, model, exist_ok=True)
    transformers.AutoTokenizer.register(
        FNetMixerConfig, tokenizer_class=transformers.FNetTokenizer, exist_ok=True
    )


def kernel_mapping() -> dict[str, dict[str, Any]]:
    """Return a mapping by which `kernels.kernelize` makes FNet layers run the fused operator.

    It also gives transformers' `FNetFourierTransform` a name that `kernelize` looks for. The layers
    that `patch_fnet` skips are left alone.

    Returns:
        An argument for `kernels.use_kernel_mapping` or `kernels.register_kernel_mapping`, with an
        entry for each of the devices cpu and cuda.

    Raises:
        ImportError: `kernels` or `transformers` is not installed.

    Usage:

        from kernels import Mode, kernelize, use_kernel_mapping
        with use_kernel_mapping(hf.kernel_mapping()):
            kernelize(model, mode=Mode.TRAINING | Mode.TORCH_COMPILE, device="cpu")
    """
    _transformers()
    try:
        from kernels import replace_kernel_forward_from_hub
    except ModuleNotFoundError as error:
        raise ImportError("kernel_mapping needs kernels: run `pip install kernels`") from error
    from transformers.models.fnet.modeling_fnet import FNetFourierTransform

    from fnet_kernels.hf._kernelize import InstalledLayer
    from fnet_kernels.hf._layer import why_not_fuse

    layer = InstalledLayer()
    replace_kernel_forward_from_hub(
        FNetFourierTransform, layer.layer_name, lambda module: why_not_fuse(module) is None
    )
    return {layer.layer_name: {"cpu": layer, "cuda": layer}}


def _transformers() -> ModuleType:
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise ImportError(
            "fnet_kernels.hf needs Hugging Face transformers: run `pip install transformers`"
        ) from error
    return transformers


def _fnet_layers(function: str, model: nn.Module) -> dict[str, nn.Module]:
    from fnet_kernels.hf._layer import is_fnet_layer

    if not isinstance(model, nn.Module):
        raise TypeError(f"{function}: model must be a torch.nn.Module, got {type(model).__name__}")
    layers = {name: module for name, module in model.named_modules() if is_fnet_layer(module)}
    if not layers:
        raise ValueError(
            f"{function}: {type(model).__name__} has no FNet layers (transformers'"
            " FNetFourierTransform)"
        )
    return layers


def _check_that_lengths_reach(
    model: nn.Module, layers: Mapping[str, nn.Module], todo: Mapping[str, nn.Module]
) -> None:
    """Raise a ValueError if one of `layers`, of which `todo` are stock, would get no lengths."""
    from fnet_kernels.hf._layer import why_not_fuse
    from fnet_kernels.hf._padding import is_model, why_not_pad

    within = {id(part) for each in model.modules() if is_model(each) for part in each.modules()}
    reasons = {name: why_not_pad(module) for name, module in model.named_modules()}
    reasons |= {name: why_not_fuse(layer) for name, layer in todo.items()}
    reasons |= {
        name: "it is in no FNetModel" for name, layer in layers.items() if id(layer) not in within
    }
    for name, reason in reasons.items():
        if reason is not None:
            raise ValueError(
                "patch_fnet: padding must be 'tokens' if lengths may not reach every layer;"
                f" {name or 'the model'}: {reason} (patch an FNetModel alone, and pass it"
                " attention_mask)"
            )


def _change(
    action: str,
    layers: Mapping[str, nn.Module],
    todo: Mapping[str, nn.Module],
    why_not: Callable[[nn.Module], str | None],
    change: Callable[[nn.Module], None],
) -> PatchReport:
    """Change the layers `todo` of `layers`, except those with a reason against it."""
    skipped = {name: reason for name, layer in todo.items() if (reason := why_not(layer))}
    changed = tuple(name for name in todo if name not in skipped)
    for name in changed:
        change(todo[name])
    if skipped:
        function = action.removesuffix("ed") + "_fnet"
        reasons = "; ".join(sorted(set(skipped.values())))
        warnings.warn(f"{function}: skipped {len(skipped)} FNet layers: {reasons}", stacklevel=3)
    unchanged = tuple(name for name in layers if name not in todo)
    return PatchReport(action, changed, unchanged, skipped)
