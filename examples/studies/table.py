"""The table of studies.

defines: MIXERS, STUDIES

Mixers are compared at one gain: 1, the orthonormal transform. In the paper's block the transform is
unnormalised; "fourier-paper" is that model. With mean pooling, "none" sees a bag of tokens, because
nothing but the pooling joins the tokens. Expected times are those of one core of a server CPU.
"""

from __future__ import annotations

from dataclasses import replace

from examples.studies.study import Study, Variant

_FIXED = ("fourier", "hartley", "dct", "haar", "hadamard", "linear", "circulant")


def _mixers(attention_layers: int) -> dict[str, Variant]:
    """Every variant by name; the hybrid has this many attention layers at the top."""
    hybrid = f"--mixer fourier --gain 1 --attention-layers {attention_layers} --layout top"
    variants = [
        *(Variant(name, f"--mixer {name} --gain 1") for name in _FIXED),
        Variant("attention", "--mixer attention", quadratic=True),
        Variant("none", "--mixer none --gain 1"),
        Variant("hybrid", hybrid),
        Variant("fourier-paper", "--mixer fourier --gain paper"),
    ]
    return {variant.name: variant for variant in variants}


#: The variants of a model with two layers, whose hybrid has one attention layer.
MIXERS = _mixers(attention_layers=1)
_ALL = tuple(MIXERS.values())
_ALL_OF_FOUR_LAYERS = tuple(_mixers(attention_layers=2).values())
#: Without dropout of its weights, attention runs in the flash kernel of torch: at 4,096 tokens five
#: times faster.
_FLASH = {
    name: replace(MIXERS[name], options=f"{MIXERS[name].options} --attention-dropout 0")
    for name in ("attention", "hybrid")
}
_ALL_WITH_FLASH = tuple((MIXERS | _FLASH).values())
#: Where a run takes long: the model, its floor, what it is compared with, and the hybrid.
_FEW = (MIXERS["fourier"], MIXERS["none"], *_FLASH.values())
_SIX = tuple(
    MIXERS[name] for name in ("fourier", "hartley", "linear", "none", "attention", "hybrid")
)
_PADDINGS = tuple(
    Variant(padding, f"--mixer fourier --gain 1 --padding {padding}")
    for padding in ("tokens", "zero", "exact")
)

_SMALL = "--layers 2 --hidden 64 --intermediate 128 --heads 2 --pooling mean --batch 32 --lr 1e-3"
#: For long examples and equal time: with small batches, attention takes enough steps to learn.
_SMALL_BATCH = _SMALL.replace("--batch 32", "--batch 8")
_DEEP = _SMALL.replace("--layers 2", "--layers 4")
_FOUR = "--layers 4 --hidden 128 --intermediate 256 --heads 2 --pooling mean --batch 32 --lr 1e-3"
_PAIRS = f"--data r8-pairs --units words --seq 128 --epochs 2 {_SMALL}"
_LISTOPS = (
    "35 to 37 % has been published for ListOps at its full length, for many models (the paper:"
    " Transformer 36.06, FNet 35.33). That is the accuracy of reading the first operator alone, the"
    " floor `root operator`: such a figure says nothing about understanding of the expression."
)

_LISTOPS_FLOORS = {"majority": "majority class", "root_operator": "root operator"}

STUDIES = {
    study.name: study
    for study in (
        Study(
            name="r8-pairs",
            question="Do two Reuters stories have the same topic?",
            program="classify",
            options=_PAIRS,
            variants=_ALL,
            minutes=3,
            attention_minutes=5,
            reported="GLUE",
            remark=(
                "Even a bag of tokens can compare two texts: the head sees whether words of one"
                " topic or of two are in the mean."
            ),
        ),
        Study(
            name="r8",
            question="Which of eight topics does a Reuters story have?",
            program="classify",
            options=f"--data r8 --units words --seq 128 --epochs 12 {_SMALL}",
            variants=_ALL,
            minutes=2,
            attention_minutes=4,
            reported="GLUE",
        ),
        Study(
            name="padding",
            question="With which meaning of padding is FNet most accurate, on the pairs of"
            " r8-pairs?",
            program="classify",
            options=_PAIRS,
            variants=(*_PADDINGS, MIXERS["none"]),
            minutes=3,
            attention_minutes=5,
            remark=(
                "The bag of tokens has the runs of r8-pairs; on a CPU, the same seeds had 80.4 to"
                " 81.3. `tokens` is the command of fourier there, on the same kind of GPU, whose"
                " sums have no fixed order: two runs of one seed differ by up to one point, which"
                " is more than the range of some rows."
            ),
        ),
        Study(
            name="licences",
            question="Which category does a licence text of at most 4,096 bytes have,"
            " after equal time?",
            program="classify",
            options=f"--data licences --units bytes --seq 4096 --minutes 17 {_SMALL_BATCH}",
            variants=_ALL_WITH_FLASH,
            minutes=18,
            attention_minutes=18,
            reported="Text",
            remark=(
                "In this time, fourier of both gains, hartley and none make about 40 passes over"
                " the 787 training texts, haar, hadamard, circulant and dct about 30, linear"
                " about seven, the hybrid about five, and attention, in torch's flash kernel,"
                " about three. The study compares speed on a CPU, not what attention finally"
                " learns. The length of a text tells much: half of the permissive licences are"
                " shorter than 4,096 bytes, and a fifth of the others. Even a bag of tokens sees"
                " the length, in its positions. Of the 303 test texts, 55 share at least half of"
                " their phrases with a training text of another family, which helps all models"
                " alike."
            ),
        ),
        Study(
            name="listops-short",
            question="What is the value of an expression of MAX, MIN, MED and SM,"
            " of 21 to 126 tokens?",
            program="lra",
            options=f"listops --data listops-short --seq 128 --steps 20000 {_SMALL}",
            variants=_ALL,
            minutes=15,
            attention_minutes=20,
            reported="ListOps",
            floors=_LISTOPS_FLOORS,
            remark="Attention ran on another, faster processor: do not compare its time."
            f" {_LISTOPS}",
        ),
        Study(
            name="mnist-196",
            question="Which digit do 196 pixels show, read as a sequence?",
            program="classify",
            options=f"--data mnist-196 --seq 196 --epochs 20 {_SMALL}",
            variants=tuple(v for v in _ALL if v.name != "hadamard"),  # no such matrix of 196
            minutes=4,
            attention_minutes=6,
            reported="Image",
        ),
        Study(
            name="20newsgroups-pairs",
            question="Do two messages come from the same newsgroup?",
            program="classify",
            options=f"--data 20newsgroups-pairs --units words --seq 256 --epochs 2 {_SMALL}",
            variants=_FEW,
            minutes=8,
            attention_minutes=16,
            reported="GLUE",
        ),
        Study(
            name="mails",
            question="Is a mail of more than 2,000 bytes spam, after equal time?",
            program="classify",
            options=f"--data mails --units bytes --seq 4096 --minutes 8 {_SMALL_BATCH}",
            variants=_ALL_WITH_FLASH,
            minutes=9,
            attention_minutes=9,
            reported="Text",
            remark=(
                "In this time, none makes about 23 passes over the 769 training mails, fourier,"
                " hartley and fourier-paper 17 to 20, circulant, dct, haar and hadamard 13 to 17,"
                " linear three, and attention and the hybrid about two. Texts are sorted by length"
                " within windows: of 32 batches in the runs of fourier, none, attention and the"
                " hybrid, of 24 in the others, which ran a day later."
            ),
        ),
        Study(
            name="r8-bytes",
            question="Which topic does a Reuters story have, read as 512 bytes?",
            program="classify",
            options=f"--data r8 --units bytes --seq 512 --epochs 10 {_SMALL}",
            variants=_FEW,
            minutes=5,
            attention_minutes=11,
            reported="Text",
        ),
        Study(
            name="20newsgroups",
            question="Which of 20 newsgroups does a message come from?",
            program="classify",
            options=f"--data 20newsgroups --units words --seq 256 --epochs 6 {_DEEP}",
            variants=_ALL_OF_FOUR_LAYERS,
            minutes=5,
            attention_minutes=10,
            reported="GLUE",
            remark=(
                "After six epochs the validation loss of every run still falls: the table compares"
                " how fast the models learn."
            ),
        ),
        Study(
            name="listops",
            question="What is the value of an expression of MAX, MIN, MED and SM at the published"
            " lengths, 501 to 1,999 tokens?",
            program="lra",
            options=f"listops --steps 5000 {_SMALL}",
            variants=_FEW,
            minutes=45,
            attention_minutes=300,
            reported="ListOps",
            floors=_LISTOPS_FLOORS,
            remark=f"Attention takes five core hours a seed. {_LISTOPS}",
        ),
        Study(
            name="pretraining",
            question="Does masked language modelling learn more than the frequency of words,"
            " in a short run?",
            program="pretrain",
            options=f"--data 20newsgroups --units words --seq 128 --epochs 1 {_FOUR}",
            variants=_SIX,
            minutes=15,
            attention_minutes=25,
            metric="masked_accuracy",
            floors={"masked_accuracy": "the word that is seen, or else the most frequent"},
        ),
    )
}
