"""FNet models in plain torch, with the classes, names and state dicts of transformers.

>>> import torch
>>> from fnet_kernels.models import FNetConfig, FNetForMaskedLM
>>> model = FNetForMaskedLM(FNetConfig.mini())
>>> model(torch.tensor([[4, 6, 7, 5]])).logits.shape
torch.Size([1, 4, 32000])
"""

from fnet_kernels.models.config import FNetConfig
from fnet_kernels.models.heads import (
    FNetForMultipleChoice,
    FNetForNextSentencePrediction,
    FNetForQuestionAnswering,
    FNetForSequenceClassification,
    FNetForTokenClassification,
)
from fnet_kernels.models.model import FNetModel
from fnet_kernels.models.outputs import (
    FNetModelOutput,
    FNetOutput,
    FNetPreTrainingOutput,
    FNetQuestionAnsweringOutput,
)
from fnet_kernels.models.vocabulary_heads import FNetForMaskedLM, FNetForPreTraining

__all__ = [
    "FNetConfig",
    "FNetForMaskedLM",
    "FNetForMultipleChoice",
    "FNetForNextSentencePrediction",
    "FNetForPreTraining",
    "FNetForQuestionAnswering",
    "FNetForSequenceClassification",
    "FNetForTokenClassification",
    "FNetModel",
    "FNetModelOutput",
    "FNetOutput",
    "FNetPreTrainingOutput",
    "FNetQuestionAnsweringOutput",
]
