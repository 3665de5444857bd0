"""The documents: Python examples run, links resolve, words are plain."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import fnet_kernels
from fnet_kernels import hf, reference
from python_tests.helpers.paths import ROOT

DOCUMENTS = [
    *sorted(path.name for path in ROOT.glob("*.md")),
    "bench/README.md",
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")),
]
#: ```python blocks, also indented ones in list items.
EXAMPLE = re.compile(r"^( *)```python\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
#: Private words, which CONTRIBUTING.md replaces by standard ones. Sources may have progress bars.
WORDS = r"second(-level)? cache|last cache|past the caches|\b(promise|wish|cure)(s|es)?\b|so many"
PRIVATE = re.compile(rf"{WORDS}|\bbars?\b|handover", re.IGNORECASE)
SOURCES = [
    path
    for folder in ("csrc", "fnet_kernels", "build_backend")
    for path in sorted((ROOT / folder).rglob("*.*"))
    if path.suffix in (".h", ".cpp", ".cu", ".py", ".txt")
]


def examples(name: str) -> list[str]:
    """The ```python blocks of a document, without their indentation."""
    found = EXAMPLE.findall((ROOT / name).read_text())
    return [re.sub(f"^{indent}", "", code, flags=re.MULTILINE) for indent, code in found]


def run(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run the blocks of a document in one namespace, with a small model for each checkpoint."""
    if any("transformers" in code for code in examples(name)):
        transformers = pytest.importorskip("transformers")
        config = transformers.FNetConfig(
            vocab_size=1000, hidden_size=64, intermediate_size=64, num_hidden_layers=2
        )
        for kind in ("FNetModel", "FNetForMaskedLM", "FNetForSequenceClassification"):
            build = getattr(transformers, kind)
            small = staticmethod(lambda name, build=build, **options: build(config))
            monkeypatch.setattr(build, "from_pretrained", small)
    names: dict[str, Any] = {}
    for code in examples(name):
        exec(compile(code, name, "exec"), names)
    return names


@pytest.mark.usefixtures("mixers_restored")
@pytest.mark.parametrize("name", [name for name in DOCUMENTS if examples(name)])
def test_the_examples_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    assert run(name, monkeypatch)


def test_the_readme_results_are_correct(monkeypatch: pytest.MonkeyPatch) -> None:
    names = run("README.md", monkeypatch)
    x, y, m, model = (names[name] for name in ("x", "y", "m", "model"))
    assert (m - reference.fourier_mix(x)).abs().max() <= 1e-5 * m.abs().max()
    assert (y - reference.fused_fourier_mix(x)).abs().max() <= 1e-4
    assert len(hf.patch_fnet(model).unchanged) == 2
    out = model.to(torch.bfloat16).eval()(torch.tensor([[1, 2, 3]]))
    assert out.last_hidden_state.dtype == torch.bfloat16


#: Source paths in a document: csrc/..., bench/..., and so on, or relative to csrc.
NAMED = re.compile(
    r"`((?:csrc|fnet_kernels|bench|tools|docs|build_backend)/[\w./-]*|"
    r"(?:core|fft|cpu|cuda|torch|testing|cuda_sim)/[\w./-]+)`"
)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_named_sources_exist(name: str) -> None:
    for path in NAMED.findall((ROOT / name).read_text()):
        assert (ROOT / path).exists() or (ROOT / "csrc" / path).exists(), path


def test_the_citation_names_this_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {fnet_kernels.__version__}\n" in citation


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings."""
    heads = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_resolve(name: str) -> None:
    here = ROOT / name
    for link in re.findall(r"\]\(([^)\s]+)\)", here.read_text()):
        if re.match(r"https?://|\.\./\.\./actions/", link):
            continue
        target, _, anchor = link.partition("#")
        path = (here.parent / target).resolve() if target else here
        assert path.exists(), link
        assert not anchor or anchor in anchors(path), link


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_words_and_lines(name: str) -> None:
    for number, line in enumerate((ROOT / name).read_text().splitlines(), 1):
        prose = re.sub(r"`[^`]*`|\([^)]*\)", "", line)
        found = PRIVATE.search(prose)
        assert not found, f"{name}:{number}: {found and found[0]!r} is a private word"
        table_or_image = line.startswith(("|", "!", "[!"))
        assert len(line) <= 100 or table_or_image, f"{name}:{number}: {len(line)} columns"


def test_the_words_of_sources() -> None:
    private = re.compile(WORDS, re.IGNORECASE)
    assert private.search("what cures it")
    found = {
        path.relative_to(ROOT).as_posix(): private.findall(path.read_text()) for path in SOURCES
    }
    assert len(found) > 100
    assert {name: words for name, words in found.items() if words} == {}
