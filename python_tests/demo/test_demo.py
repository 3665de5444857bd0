"""The demo, end to end on tiny saved models, and its parts."""

from __future__ import annotations

import argparse
import copy
import io
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fnet_kernels import hf
from fnet_kernels._terminal import Progress
from fnet_kernels.demo import chart, command, inputs, measure
from fnet_kernels.demo import checkpoint as checkpoints
from fnet_kernels.demo.attention import SelfAttention

transformers = pytest.importorskip("transformers")


def tiny_config(**changes: object) -> object:
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 300}
    return transformers.FNetConfig(**(sizes | changes))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("checkpoint"))
    torch.manual_seed(0)
    transformers.FNetModel(tiny_config()).save_pretrained(folder)
    return folder


def run_demo(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(["--tokens", "64", "--seconds", "0.01", *words]))


@pytest.mark.parametrize("option", ["--tokens", "--seconds"])
@pytest.mark.parametrize("value", ["0", "-1", "nan", "many"])
def test_wrong_numbers_are_refused(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run_demo(option, value)
    said = capsys.readouterr().err
    assert f"argument {option}: " in said
    assert repr(value) in said


def test_checkpoint_end_to_end(
    checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    text = tmp_path / "some.txt"
    text.write_text("To mix is to add up everything once.\n" * 9)
    out = tmp_path / "new" / "folder"
    words = ["--checkpoint", checkpoint, "--text", str(text), "--out", str(out)]
    assert run_demo(*words, "--seq", "16,700") == 0
    said = capsys.readouterr().out
    assert f"weights from {checkpoint}" in said
    assert str(text) in said
    assert "--seq 700: the checkpoint has 512 positions, so 512 was run" in said
    for row in ("4 x 16", "1 x 512"):  # 64 tokens a forward here, at least one sequence
        assert row in said
    for row in (*chart.COLOURS, "bfloat16, stock:    raises: "):
        assert row in said
    assert (out / "fnet_demo.png").read_bytes().startswith(b"\x89PNG")


def test_without_a_checkpoint_it_says_random_and_brings_its_own_text(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def config(positions: int) -> object:
        return tiny_config(max_position_embeddings=positions)

    monkeypatch.setattr(checkpoints, "base_config", config)
    assert run_demo("--seq", "520", "--out", str(tmp_path)) == 0
    said = capsys.readouterr().out
    assert "random weights" in said
    assert "licences and documentation" in said
    assert "1 x 520" in said  # positions follow --seq; nothing is cut
    assert "note:" not in said


def test_a_chart_that_cannot_be_written_is_one_line(
    checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "fnet_demo.png").mkdir()
    words = ["--checkpoint", checkpoint, "--seq", "16", "--out", str(tmp_path)]
    assert run_demo(*words) == 2
    captured = capsys.readouterr()
    assert "random weights" in captured.out or "weights from" in captured.out
    assert captured.err.splitlines()[-1].startswith("fnet_kernels demo: error: --out: cannot write")


def test_base_config_is_the_paper_s() -> None:
    config = checkpoints.base_config(2048)
    assert (config.hidden_size, config.num_hidden_layers, config.intermediate_size) == (
        768,
        12,
        3072,
    )
    assert config.max_position_embeddings == 2048
    assert checkpoints.base_config(16).max_position_embeddings == 512


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--seq", "0"], "--seq"),
        (["--seq", "512,-1"], "--seq"),
        (["--seq", "long"], "--seq"),
        (["--seq", "99999999999"], "--seq: expected integers from 1 to 1,048,576"),
        (["--seq", ""], "--seq"),
        (["--text", "/no/such/file.txt"], "/no/such/file.txt"),
        (["--text", "{folder}"], "cannot read {folder}"),
        (["--text", "{empty}"], "{empty} holds no text"),
        (["--checkpoint", "/no/such/folder"], "/no/such/folder"),
        (["--checkpoint", "{folder}"], "cannot load {folder}"),
        (["--checkpoint", "{bert}"], "is a bert model, not FNet"),
        (["--checkpoint", "{tpu}"], "use_tpu_fourier_optimizations"),
        (["--checkpoint", "{small}"], "vocabulary of 50 is too small"),
        (["--out", "{empty}"], "--out"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    words: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {name: tmp_path / name for name in ("folder", "empty", "bert", "tpu", "small")}
    places["folder"].mkdir()
    places["empty"].write_text(" \n")
    transformers.BertConfig().save_pretrained(places["bert"])
    tiny_config(use_tpu_fourier_optimizations=True).save_pretrained(places["tpu"])
    if "small" in words[1]:
        transformers.FNetModel(tiny_config(vocab_size=50)).save_pretrained(places["small"])
    capsys.readouterr()
    assert run_demo(*(word.format(**places) for word in words)) == 2
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if not line.startswith("[")]  # progress
    assert len(errors) == 1
    assert errors[0].startswith("fnet_kernels demo: error: ")
    assert reason.format(**places) in errors[0]
    assert captured.out == ""


def test_an_unreachable_hub_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_address(*_: object) -> None:
        raise OSError("no name service")

    monkeypatch.setattr(checkpoints.socket, "getaddrinfo", no_address)
    monkeypatch.setattr(checkpoints.urllib.request, "getproxies", dict)
    with pytest.raises(inputs.Unusable, match=r"nobody/nothing is not a folder.*out of reach"):
        checkpoints.load("nobody/nothing", "text", 16)


def test_the_checkpoint_s_tokenizer_is_used(checkpoint: str, tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    words = {"<unk>": 0, "mix": 1, "the": 2, "tokens": 3}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")
    fast.save_pretrained(tmp_path)
    transformers.FNetModel(tiny_config(vocab_size=50)).save_pretrained(tmp_path)
    loaded = checkpoints.load(str(tmp_path), "mix the other tokens", 16)
    assert loaded.ids == [1, 2, 0, 3]
    assert "tokenizer" in loaded.tokens

    without = checkpoints.load(checkpoint, "mix", 16)
    assert without.ids == [byte + inputs.BYTE_OFFSET for byte in b"mix"]
    assert "bytes" in without.tokens


def what_torch_says_of_bf16() -> str | None:
    try:
        torch.fft.fftn(torch.zeros(2, 2, dtype=torch.bfloat16))
    except RuntimeError as error:
        return str(error).splitlines()[0]
    return None


def test_measure_tells_a_patch_that_is_wrong(
    checkpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock = checkpoints.load(checkpoint, "text", 16).model
    rows = inputs.token_rows(list(range(4, 200)), batch=2, seq=24)
    quiet = Progress(measure.STEPS, io.StringIO())
    right = measure.measure(stock, rows, quiet, 0.01)
    assert right.fp32.largest < 1e-4
    assert right.fp32.relative < 1e-5
    assert 0 < right.bf16.relative < 0.1
    assert right.stock_bf16 == what_torch_says_of_bf16()
    assert all(timing.median > 0 for timing in (right.sublayer | right.model).values())
    assert {measure.PATCHED_BF16, measure.BERT, measure.BERT_BF16} <= right.model.keys()
    assert not hf.unpatch_fnet(stock).changed, "the stock model itself must stay stock"

    def patch_and_break(model: torch.nn.Module) -> None:
        hf_patch(model)
        layer = model.encoder.layer[1].fourier  # type: ignore[union-attr,index]
        layer.register_forward_hook(lambda module, args, out: (out[0].roll(1, 1),))

    hf_patch = hf.patch_fnet
    monkeypatch.setattr(hf, "patch_fnet", patch_and_break)
    wrong = measure.measure(stock, rows, quiet, 0.01)
    assert wrong.fp32.relative > 0.1


def test_agreement_is_over_all_layers() -> None:
    theirs = [torch.ones(2, 3), torch.full((2, 3), 2.0)]
    ours = copy.deepcopy(theirs)
    ours[1][0, 0] += 0.5
    found = measure.Agreement.between(ours, theirs)
    assert found.largest == 0.5
    assert found.relative == pytest.approx((0.25 / 12) ** 0.5 / (30 / 12) ** 0.5)


def test_shared_copy_shares_parameters_and_not_modules(checkpoint: str) -> None:
    stock = checkpoints.load(checkpoint, "text", 16).model
    twin = measure.shared_copy(stock)
    assert all(a is b for a, b in zip(stock.parameters(), twin.parameters(), strict=True))
    hf.patch_fnet(twin)
    assert not hf.unpatch_fnet(stock).changed


@pytest.mark.parametrize(("hidden", "heads"), [(128, 2), (48, 1)])
def test_self_attention_is_the_definition(hidden: int, heads: int) -> None:
    layer = SelfAttention(hidden)
    x = torch.randn(2, 5, hidden)
    q, k, v = layer.qkv(x).chunk(3, -1)
    parts: list[Tensor] = []
    for head in range(heads):
        at = slice(head * hidden // heads, (head + 1) * hidden // heads)
        scores = q[..., at] @ k[..., at].mT / (hidden // heads) ** 0.5
        parts.append(scores.softmax(-1) @ v[..., at])
    expected = layer.norm(x + layer.projection(torch.cat(parts, -1)))
    assert layer.heads == heads
    torch.testing.assert_close(layer(x), expected)


def test_found_text_is_real_and_repeatable() -> None:
    text, about = inputs.found_text()
    assert len(text) > 20_000
    assert "license" in text.lower()
    assert "licences" in about
    assert inputs.found_text() == (text, about)


def test_read_texts_keeps_the_order_and_survives_bad_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    first.write_bytes(b"caf\xe9")  # Latin-1, not UTF-8
    second.write_text("second")
    text, about = inputs.read_texts([str(second), str(first)])
    assert text == "second\ncaf\N{REPLACEMENT CHARACTER}"
    assert about == f"{second}, {first}"


def test_token_rows_spread_and_wrap() -> None:
    assert inputs.token_rows(range(10), batch=2, seq=3).tolist() == [[0, 1, 2], [5, 6, 7]]
    assert inputs.token_rows([7, 8], batch=1, seq=5).tolist() == [[7, 8, 7, 8, 7]]
    with pytest.raises(ValueError, match="empty"):
        inputs.token_rows([], batch=1, seq=1)


def test_without_matplotlib_the_table_still_comes(
    checkpoint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    assert run_demo("--checkpoint", checkpoint, "--seq", "8", "--out", str(tmp_path)) == 0
    assert "no chart: it needs matplotlib" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_progress_moves_on_a_terminal_and_is_plain_elsewhere() -> None:
    plain, terminal = io.StringIO(), Terminal()
    for stream in (plain, terminal):
        progress = Progress(2, stream)
        progress.step("first")
        progress.part(0.5)
        progress.step("second")
        progress.close()
    assert plain.getvalue() == "[1/2] first\n[2/2] second\n"
    for part in (" 25%", " 50%", "first", "second"):
        assert part in terminal.getvalue()
    assert "[1/2]" not in terminal.getvalue()


def test_without_rich_progress_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    terminal = Terminal()
    progress = Progress(2, terminal)
    progress.step("first")
    progress.part(0.5)
    progress.close()
    assert terminal.getvalue() == "[1/2] first\n"
