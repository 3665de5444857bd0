"""What a finished run says of new texts, with a mixer of one's own and without."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch

from examples import classify, lra, predict
from examples.corpora.load import load
from examples.predict import Predictor
from examples.training import log
from fnet_kernels.mixers import registry
from python_tests.helpers.classify_runs import words
from python_tests.helpers.small_texts import write_pairs, write_texts

pytestmark = pytest.mark.usefixtures("threads_restored")

MIXER = """
from torch import nn
from fnet_kernels.mixers import register_mixer

@register_mixer("rolled")
class Rolled(nn.Module):
    def __init__(self, hidden_size, seq_len=None, *, gain="paper", by=1):
        super().__init__()
        self.by = by

    def forward(self, x):
        return x.roll(self.by, -2)
"""


@pytest.fixture
def own_mixer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_mixers.py").write_text(MIXER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_factories", dict(registry._factories))


def trained(folder: Path, data: Path, *more: str) -> str:
    classify.main([*words(data, folder, "--steps 60"), *more])
    return str(folder)


@pytest.mark.usefixtures("own_mixer")
def test_texts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_texts(tmp_path / "data")
    options = ["--mixer", "own_mixers:rolled", "--mixer-args", '{"by": 2}', "--pooling", "mean"]
    run = trained(tmp_path / "run", data, *options)
    split = load(str(data)).test
    texts = [str(text) for text in split.inputs]
    predictor = Predictor(run)
    assert predictor.model.config.mixer_args == {"by": 2}
    found = predictor(texts)
    torch.testing.assert_close(found.sum(-1), torch.ones(len(texts)))
    told = [predictor.labels[int(row.argmax())] for row in found]
    right = sum(name == str(label) for name, label in zip(told, split.labels, strict=True))
    assert right > 0.9 * len(texts)
    one_by_one = torch.cat([predictor([text]) for text in texts])
    torch.testing.assert_close(one_by_one, found)

    capsys.readouterr()
    predict.main([run, "--import", "own_mixers", texts[0]])
    assert capsys.readouterr().out == f"{told[0]}\t{found[0].max():.3f}\t{texts[0]}\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{texts[0]}\n{texts[-1]}\u2028\n"))
    predict.main([run])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] for line in lines[:2]] == [told[0], told[-1]]
    with pytest.raises(
        SystemExit, match=r"^--import: cannot import no_such_module: No module named"
    ):
        predict.main([run, "--import", "no_such_module", texts[0]])
    registry._factories.pop("rolled")
    with pytest.raises(SystemExit, match=r"got 'rolled'; --import MODULE imports the module"):
        Predictor(run)
    with pytest.raises(SystemExit, match=r"got 'rolled'; --mixer MODULE:NAME imports the module"):
        trained(tmp_path / "next", data, "--from", run)


def test_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = trained(tmp_path / "run", write_pairs(tmp_path / "data"))
    capsys.readouterr()
    predict.main([run, "a\tb"])
    label, probability, *pair = capsys.readouterr().out.rstrip("\n").split("\t")
    expected = Predictor(run)(["a"], ["b"])
    assert label == Predictor(run).labels[int(expected.argmax())]
    assert probability == f"{expected.max():.3f}"
    assert pair == ["a", "b"]


def test_texts_are_cut_as_in_the_run(tmp_path: Path) -> None:
    """A model that was pre-trained on longer texts has more positions than the run used."""
    data = write_texts(tmp_path / "data")
    longer = trained(tmp_path / "longer", data, "--seq", "32")
    run = trained(tmp_path / "run", data, "--from", longer, "--seq", "8", "--steps", "5")
    test = load(str(data)).test
    texts = [str(text) for text in test.inputs]
    predictor = Predictor(run)
    probability = predictor(texts)[torch.arange(len(texts)), torch.tensor(test.labels)]
    expected = log.finished(tmp_path / "run")
    assert expected is not None
    assert float(-probability.log().mean()) == pytest.approx(expected["loss"], rel=1e-5)
    predictor._seq = None  # all positions of the model: other padding, another result
    probability = predictor(texts)[torch.arange(len(texts)), torch.tensor(test.labels)]
    assert float(-probability.log().mean()) != pytest.approx(expected["loss"], rel=1e-5)


def test_tabs_divide_pairs_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    single = trained(tmp_path / "single", write_texts(tmp_path / "texts"), "--steps", "2")
    capsys.readouterr()
    predict.main([single, "a\tb"])
    assert capsys.readouterr().out.endswith("\ta\tb\n")
    double = trained(tmp_path / "double", write_pairs(tmp_path / "pairs"), "--steps", "2")
    with pytest.raises(SystemExit, match="each line must have a tab between the two texts"):
        predict.main([double, "a"])


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    words = ["retrieval", "--data", str(write_pairs(tmp_path / "data")), "--seq", "16"]
    small = "--steps 1 --batch 8 --hidden 16 --intermediate 16 --threads 1 --device cpu"
    lra.main([*words, *small.split(), "--out", str(tmp_path / "run")])
    with pytest.raises(SystemExit, match="holds FNetForMatching; expected FNetForSequenceC"):
        Predictor(str(tmp_path / "run"))


def test_transformers_names_the_classes(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    first = trained(tmp_path / "first", write_pairs(tmp_path / "pairs"), "--steps", "1")
    run = trained(
        tmp_path / "run", write_texts(tmp_path / "texts"), "--steps", "1", "--from", first
    )
    config = transformers.AutoConfig.from_pretrained(Path(run) / "model")
    assert [config.id2label[i] for i in range(config.num_labels)] == Predictor(run).labels
    assert config.label2id == {name: i for i, name in config.id2label.items()}


def test_a_damaged_run_is_one_sentence(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", write_texts(tmp_path / "texts"), "--steps", "1")
    model = Path(run) / "model"
    (model / "model.safetensors").unlink()
    with pytest.raises(SystemExit, match=r"has none of model.safetensors"):
        Predictor(run)
    (model / "config.json").write_text("{}")
    with pytest.raises(SystemExit, match=r"config.json is not the configuration of a model"):
        Predictor(run)
    (model / "encoder.json").write_text("{")
    with pytest.raises(SystemExit, match=r"encoder.json is not an encoder"):
        Predictor(run)


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"model has no encoder.json, which a finished run"):
        predict.main([str(tmp_path), "text"])
