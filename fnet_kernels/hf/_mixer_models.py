# mypy: disable-error-code="no-untyped-call"
"""transformers' FNet classes with the encoder layers of this library. Imports `transformers`.

defines: FNetMixerConfig, AUTO_CLASSES, and FNetMixerModel, FNetMixerForMaskedLM and so on
"""

from __future__ import annotations

from dataclasses import field, replace
from itertools import chain
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.models.fnet import modeling_fnet as stock

from fnet_kernels import models
from fnet_kernels._padding import Padding
from fnet_kernels._sequences import Sequences
from fnet_kernels._sublayers import MixingSublayer
from fnet_kernels.encoder_layer import FNetEncoderLayer
from fnet_kernels.hf._sequences import forward_of_encoder, forward_of_head, forward_of_model
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
    round_to: int | None = None
    pooling: str = "first"

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        self.plain()  # it checks the fields

    def plain(self) -> models.FNetConfig:
        return models.FNetConfig.from_dict(self.to_dict())


class FNetMixerLayer(GradientCheckpointingLayer, FNetEncoderLayer):
    """`FNetEncoderLayer` that returns a tuple."""

    def forward(  # type: ignore[override]
        self, x: Tensor, key_mask: Tensor | None = None, sequences: Sequences | None = None
    ) -> tuple[Tensor]:
        return (FNetEncoderLayer.forward(self, x, key_mask, sequences),)


class FNetMixerEncoder(stock.FNetEncoder):
    """A stack of `FNetMixerLayer`."""

    def __init__(self, config: FNetMixerConfig, layers: nn.ModuleList) -> None:
        nn.Module.__init__(self)
        self.config = config
        self.layer = layers
        for layer in layers:
            layer.__class__ = FNetMixerLayer
        self.gradient_checkpointing = False

    forward = forward_of_encoder


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


def _padding(model: FNetMixerModel) -> Padding:
    return Padding(model.config.padding, model.config.round_to)


class FNetMixerModel(FNetMixerPreTrainedModel, stock.FNetModel):
    """`FNetModel` with the mixers of its config."""

    def __init__(self, config: FNetMixerConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config, add_pooling_layer)
        # The embeddings of our model are not used, so one word will do.
        plain = models.FNetModel(replace(config.plain(), vocab_size=1, pad_token_id=None))
        self.encoder = FNetMixerEncoder(config, plain.encoder.layer)
        if add_pooling_layer:
            pooler: Any = plain.pooler
            pooler.config = config
            self.pooler: Any = pooler
        self.post_init()

    forward = forward_of_model(_padding, masked=True)


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
        "forward": forward_of_head(base, _padding),
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
