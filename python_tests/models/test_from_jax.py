"""Conversion of the authors' parameters, against their formulas in numpy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from fnet_kernels.mixers import list_mixers
from fnet_kernels.models import FNetConfig, FNetForPreTraining, FNetForSequenceClassification
from fnet_kernels.models.from_jax import from_jax

Array = np.ndarray[Any, np.dtype[Any]]
VOCABULARY, HIDDEN, INNER, SEQ, TYPES, LAYERS, HEADS = 30, 8, 12, 6, 4, 2, 2
CLASSES = 3
EPS = 1e-12
TOKENS = np.arange(12).reshape(2, SEQ)


def config(**options: Any) -> FNetConfig:
    return FNetConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        max_position_embeddings=SEQ,
        num_attention_heads=HEADS,
        num_labels=CLASSES,
        hidden_dropout_prob=0.0,
        **options,
    )


def tree(mixers: list[str], *, pretraining: bool) -> dict[str, Any]:
    """Random parameters with the names and shapes of `f_net/models.py`."""
    generator = np.random.default_rng(0)

    def random(*shape: int) -> Array:
        return generator.normal(0.1, 0.4, shape).astype(np.float32)

    def dense(inputs: int, outputs: int) -> dict[str, Array]:
        return {"kernel": random(inputs, outputs), "bias": random(outputs)}

    def norm() -> dict[str, Array]:
        return {"scale": random(HIDDEN), "bias": random(HIDDEN)}

    encoder: dict[str, Any] = {
        "embedder": {
            "word": {"embedding": random(VOCABULARY, HIDDEN)},
            "position": {"embedding": random(1, SEQ, HIDDEN)},
            "type": {"embedding": random(TYPES, HIDDEN)},
            "layer_norm": norm(),
            "hidden_mapping_in": dense(HIDDEN, HIDDEN),
        },
        "pooler": dense(HIDDEN, HIDDEN),
    }
    for i, mixer in enumerate(mixers):
        encoder[f"encoder_{i}"] = {"mixing_layer_norm": norm(), "output_layer_norm": norm()}
        encoder[f"feed_forward_{i}"] = {
            "intermediate": dense(HIDDEN, INNER),
            "output": dense(INNER, HIDDEN),
        }
        if mixer == "linear":
            encoder[f"linear_transform_{i}"] = {
                "hidden_kernel": random(HIDDEN, HIDDEN),
                "seq_kernel": random(SEQ, SEQ),
            }
        if mixer == "attention":
            size = HIDDEN // HEADS
            projections = {
                name: {"kernel": random(HIDDEN, HEADS, size), "bias": random(HEADS, size)}
                for name in ("query", "key", "value")
            }
            out = {"kernel": random(HEADS, size, HIDDEN), "bias": random(HIDDEN)}
            encoder[f"self_attention_{i}"] = {**projections, "out": out}

    def projection(outputs: int) -> dict[str, Array]:
        return {"output_kernel": random(outputs, HIDDEN), "output_bias": random(outputs)}

    if not pretraining:
        return {"encoder": encoder, "classification": projection(CLASSES)}
    return {
        "encoder": encoder,
        "predictions_dense": dense(HIDDEN, HIDDEN),
        "predictions_layer_norm": norm(),
        "predictions_output": {"output_bias": random(VOCABULARY)},
        "classification": projection(2),
    }


def reference(params: dict[str, Any], mixers: list[str]) -> dict[str, Array]:
    """What the authors' code computes, in float64."""

    def dense(x: Array, p: dict[str, Array], axes: int = 1) -> Array:
        return np.tensordot(x, p["kernel"].astype(float), axes) + p["bias"]

    def norm(x: Array, p: dict[str, Array]) -> Array:
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + EPS) * p["scale"] + p["bias"]

    def gelu(x: Array) -> Array:
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    def attention(x: Array, p: dict[str, Any]) -> Array:
        q, k, v = (dense(x, p[name]) for name in ("query", "key", "value"))
        scores = np.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(HIDDEN // HEADS)
        weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        return dense(np.einsum("bhqk,bkhd->bqhd", weights, v), p["out"], 2)

    encoder = params["encoder"]
    embedder = encoder["embedder"]
    x = embedder["word"]["embedding"][TOKENS].astype(float)
    x = x + embedder["position"]["embedding"] + embedder["type"]["embedding"][0]
    x = dense(norm(x, embedder["layer_norm"]), embedder["hidden_mapping_in"])
    for i, mixer in enumerate(mixers):
        if mixer == "fourier":
            mixed = np.fft.fft2(x).real
        elif mixer == "linear":
            p = encoder[f"linear_transform_{i}"]
            mixed = np.einsum("bij,jk,ni->bnk", x, p["hidden_kernel"], p["seq_kernel"])
        else:
            mixed = x if mixer == "none" else attention(x, encoder[f"self_attention_{i}"])
        block, feed_forward = encoder[f"encoder_{i}"], encoder[f"feed_forward_{i}"]
        x = norm(x + mixed, block["mixing_layer_norm"])
        inner = gelu(dense(x, feed_forward["intermediate"]))
        x = norm(x + dense(inner, feed_forward["output"]), block["output_layer_norm"])
    pooled = np.tanh(dense(x[:, 0], encoder["pooler"]))
    p = params["classification"]
    outputs = {"classification": pooled @ p["output_kernel"].T + p["output_bias"]}
    if "predictions_dense" in params:
        x = norm(gelu(dense(x, params["predictions_dense"])), params["predictions_layer_norm"])
        words = embedder["word"]["embedding"].T
        outputs["predictions"] = x @ words + params["predictions_output"]["output_bias"]
    return outputs


CONFIGS = {
    "fourier": {},
    "linear": {"mixer": "linear"},
    "ff_only": {"mixer": "none"},
    "bert": {"mixer": "attention"},
    "hybrid": {"num_attention_layers": 1},
}
CONFIGS = {k: v for k, v in CONFIGS.items() if v.get("mixer", "fourier") in list_mixers()}


@pytest.mark.parametrize("pretraining", [True, False])
@pytest.mark.parametrize("options", CONFIGS.values(), ids=CONFIGS)
def test_computes_what_the_authors_compute(options: dict[str, Any], pretraining: bool) -> None:
    mixers = config(**options).layer_mixers()
    params = tree(mixers, pretraining=pretraining)
    model_class = FNetForPreTraining if pretraining else FNetForSequenceClassification
    model = model_class(config(**options)).eval()
    model.load_state_dict(from_jax(params, model.config))
    expected = reference(params, mixers)
    with torch.no_grad():
        outputs = model.double()(torch.from_numpy(TOKENS))
    actual = (
        {
            "predictions": outputs.prediction_logits,
            "classification": outputs.seq_relationship_logits,
        }
        if pretraining
        else {"classification": outputs.logits}
    )
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(actual[name].numpy(), array, rtol=0, atol=1e-9)


def test_tensors_are_copies_in_float32() -> None:
    params = tree(["fourier"] * LAYERS, pretraining=True)
    params["encoder"]["pooler"]["bias"] = np.ones(HIDDEN, np.float16)
    state = from_jax(params, config())
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}
    assert all(tensor.is_contiguous() for tensor in state.values())
    word = params["encoder"]["embedder"]["word"]["embedding"]
    before = state["fnet.embeddings.word_embeddings.weight"].clone()
    word += 1
    assert torch.equal(state["fnet.embeddings.word_embeddings.weight"], before)


def change(params: Any, path: str, value: Any) -> None:
    *parents, leaf = path.split("/")
    for parent in parents:
        params = params.setdefault(parent, {})
    if value is None:
        del params[leaf]
    else:
        params[leaf] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("encoder/encoder_1/mixing_layer_norm/scale", None, "params lacks {path}$"),
        ("predictions_output/output_bias", None, "params lacks {path}$"),
        ("encoder/feed_forward_2/output/bias", np.ones(3), "has no parameters for {path}$"),
        ("encoder/linear_transform_0/seq_kernel", np.ones(3), "has no parameters for {path}$"),
        (
            "encoder/feed_forward_0/output/kernel",
            np.ones((HIDDEN, INNER)),
            r"{path} must have shape \(12, 8\), got \(8, 12\)",
        ),
        (
            "encoder/embedder/position/embedding",
            np.ones((SEQ, HIDDEN)),
            r"{path} must have shape \(1, 6, 8\), got \(6, 8\)",
        ),
        (
            "encoder/self_attention_1/key/kernel",
            np.ones((HIDDEN, HIDDEN)),
            r"{path} must have shape \(8, 2, 4\), got \(8, 8\)",
        ),
        (
            "encoder/self_attention_1/out/kernel",
            np.ones((HIDDEN, HEADS, HIDDEN // HEADS)),
            r"{path} must have shape \(2, 4, 8\), got \(8, 2, 4\)",
        ),
        ("classification/output_kernel", np.ones((HIDDEN, 2)), r"{path} must have shape \(2, 8\)"),
    ],
)
def test_wrong_arrays_are_named(path: str, value: Any, message: str) -> None:
    hybrid = config(num_attention_layers=1)
    params = tree(hybrid.layer_mixers(), pretraining=True)
    change(params, path, value)
    with pytest.raises(ValueError, match="^from_jax: .*" + message.format(path=path)):
        from_jax(params, hybrid)


def test_arguments() -> None:
    with pytest.raises(TypeError, match="params must be a mapping, got list"):
        from_jax([], config())
    with pytest.raises(TypeError, match=r"from_jax: config must be a .*FNetConfig, got dict"):
        from_jax({}, {})
    if "random" in list_mixers():
        with pytest.raises(ValueError, match=r"config.mixer must be one of .*got 'random'"):
            from_jax({}, config(mixer="random"))


def test_untied_weights_start_as_the_tied_ones() -> None:
    params = tree(["fourier"] * LAYERS, pretraining=True)
    tied = from_jax(params, config())
    untied = from_jax(params, config(tie_word_embeddings=False))
    assert tied.keys() == untied.keys()
    assert all(torch.equal(tied[name], untied[name]) for name in tied)
    FNetForPreTraining(config(tie_word_embeddings=False)).load_state_dict(untied)
