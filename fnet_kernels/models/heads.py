"""FNet with a head for each task, as in transformers."""

from __future__ import annotations

from fnet_kernels.models.model import FNetPreTrained


class FNetForPreTraining(FNetPreTrained): ...


class FNetForMaskedLM(FNetPreTrained): ...


class FNetForNextSentencePrediction(FNetPreTrained): ...


class FNetForSequenceClassification(FNetPreTrained): ...


class FNetForTokenClassification(FNetPreTrained): ...


class FNetForMultipleChoice(FNetPreTrained): ...


class FNetForQuestionAnswering(FNetPreTrained): ...
