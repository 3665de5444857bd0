# mypy: disable-error-code="no-untyped-call"
"""transformers' FNet classes with the encoder layers of this library. Imports `transformers`.

defines: FNetMixerConfig, AUTO_CLASSES, and FNetMixerModel, FNetMixerForMaskedLM and so on
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import field, replace
from functools import partial, wraps
from itertools import chain
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.models.fnet import modeling_fnet as stock

from fnet_kernels import models
from fnet_kernels._sublayers import MixingSublayer
from fnet_kernels.encoder import FNetEncoderLayer
from fnet_kernels.mixers.registry import create_mixer


class FNetMixerConfig(transformers.FNetConfig):
    """`transformers.FNetConfig` with the fields that `fnet_kernels.models.FNetConfig` adds."""

    model_type = "fnet_kernels"

    mixer: str = "fourier"
    mixer_args: dict[str, Any] = field(default_factory=dict)
    gain: float | int | str = "paper"
    num_attention_layers: int = 0
    attention_layout: str = "top"
    num_attention_heads: int | None = None
    attention_probs_dropout_prob: float | int = 0.1
    padding: str = "tokens"
    pooling: str = "first"

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        self.plain()  # it checks the fields

    def plain(self) -> models.FNetConfig:
        return models.FNetConfig.from_dict(self.to_dict())


class FNetMixerLayer(GradientCheckpointingLayer, FNetEncoderLayer):
    """`FNetEncoderLayer` that returns a tuple."""

    def forward(self, x: Tensor, key_mask: Tensor | None = None) -> tuple[Tensor]:  # type: ignore[override]
        return (FNetEncoderLayer.forward(self, x, key_mask),)


class _Having:
    """`module` with other attributes, for one call of a method of its class."""

    def __init__(self, module: nn.Module, **attributes: Any) -> None:
        self._module = module
        self.__dict__.update(attributes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


class FNetMixerEncoder(stock.FNetEncoder):
    """A stack of `FNetMixerLayer`, which passes on the attention mask."""

    def __init__(self, config: FNetMixerConfig, layers: nn.ModuleList) -> None:
        nn.Module.__init__(self)
        self.config = config
        self.layer = layers
        for layer in layers:
            layer.__class__ = FNetMixerLayer
        self.gradient_checkpointing = False

    def forward(self, *args: Any, attention_mask: Tensor | None = None, **kwargs: Any) -> Any:
        layers = [partial(layer, key_mask=attention_mask) for layer in self.layer]
        bound: Any = _Having(self, layer=layers)
        return stock.FNetEncoder.forward(bound, *args, **kwargs)


class FNetMixerPreTrainedModel(stock.FNetPreTrainedModel):
    """What all models below share."""

    config: FNetMixerConfig
    config_class = FNetMixerConfig
    accepts_loss_kwargs = False  # the losses ignore `num_items_in_batch`, so Trainer must divide

    @torch.no_grad()
    def initialize_weights(self) -> None:
        """Also initialise mixers, and the constants in them, which no checkpoint holds."""
        super().initialize_weights()
        plain = self.config.plain()
        for sublayer in self.modules():
            if isinstance(sublayer, MixingSublayer):
                _initialize_mixer(sublayer.self, plain)


def _initialize_mixer(mixer: nn.Module, config: models.FNetConfig) -> None:
    """Give `mixer` the values of a new one, except to tensors that transformers has loaded."""
    tensors = [*mixer.parameters(), *mixer.buffers()]
    if not tensors or tensors[0].is_meta:
        return
    with torch.device("cpu"):
        new = create_mixer(
            config.mixer,
            config.hidden_size,
            config.max_position_embeddings,
            gain=config.gain,
            **config.mixer_args,
        )
    for tensor, value in zip(tensors, chain(new.parameters(), new.buffers()), strict=True):
        init.copy_(tensor, value)


def _masked(base: type[nn.Module], **parts: str) -> Callable[..., Any]:
    """`base.forward` with an `attention_mask`, which `parts` of the model get by these keywords.

    transformers drops the mask of an FNet. Nothing is stored in the model: the call of
    `base.forward` sees parts that have the mask already.
    """

    @wraps(base.forward)
    def forward(self: Any, *args: Any, attention_mask: Tensor | None = None, **kwargs: Any) -> Any:
        if attention_mask is not None:  # of multiple choices: [batch, choices, seq]
            attention_mask = attention_mask.flatten(0, -2)
        masked = {
            name: partial(part, **{keyword: attention_mask})
            for name, keyword in parts.items()
            if (part := getattr(self, name)) is not None
        }
        return base.forward(_Having(self, **masked), *args, **kwargs)

    # Trainer and pipelines pass on what the signature names.
    *named, others = inspect.signature(base.forward).parameters.values()
    mask = inspect.Parameter("attention_mask", inspect.Parameter.KEYWORD_ONLY, default=None)
    forward.__signature__ = inspect.Signature([*named, mask, others])  # type: ignore[attr-defined]
    return forward


class FNetMixerModel(FNetMixerPreTrainedModel, stock.FNetModel):
    """`FNetModel` with the mixers of its config."""

    def __init__(self, config: FNetMixerConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config, add_pooling_layer)
        # The embeddings of our model are not used, so one word will do.
        plain = models.FNetModel(replace(config.plain(), vocab_size=1, pad_token_id=None))
        self.encoder = FNetMixerEncoder(config, plain.encoder.layer)
        if add_pooling_layer:
            self.pooler: Any = plain.pooler
        self.post_init()

    forward = _masked(stock.FNetModel, encoder="attention_mask", pooler="mask")


def _with_head(base: type[nn.Module]) -> type[nn.Module]:
    """The subclass of one of transformers' classes whose encoder is `FNetMixerModel`."""

    def __init__(self: Any, config: FNetMixerConfig) -> None:
        base.__init__(self, config)
        self.fnet = FNetMixerModel(config)
        self.post_init()

    name = base.__name__.replace("FNet", "FNetMixer", 1)
    members = {
        "__init__": __init__,
        "__module__": __name__,
        "__doc__": f"`{base.__name__}` with the mixers of its config.",
        "forward": _masked(base, fnet="attention_mask"),
    }
    return type(name, (FNetMixerPreTrainedModel, base), members)


#: The suffix of an Auto class of transformers, and the model it makes.
AUTO_CLASSES = {"": FNetMixerModel} | {
    suffix: _with_head(getattr(transformers, f"FNet{suffix}"))
    for suffix in (
        "ForPreTraining",
        "ForMaskedLM",
        "ForNextSentencePrediction",
        "ForSequenceClassification",
        "ForTokenClassification",
        "ForMultipleChoice",
        "ForQuestionAnswering",
    )
}
# Pickles look classes up in their module.
globals().update({cls.__name__: cls for cls in AUTO_CLASSES.values()})
