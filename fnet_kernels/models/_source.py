"""Where a checkpoint lies: a directory, or a repository of the Hugging Face hub.

defines: Source, optional_module
"""

from __future__ import annotations

import importlib
import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fnet_kernels._ops.checks import kind

CONFIG = "config.json"
SAFETENSORS = "model.safetensors"
# In the order of preference. An index names the files, called shards, that hold the tensors.
_WEIGHTS = (
    SAFETENSORS,
    f"{SAFETENSORS}.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_NAME = r"\w(?:[\w.-]*\w)?"
_REPOSITORY = re.compile(f"{_NAME}(/{_NAME})?")


def optional_module(owner: str, name: str) -> Any:
    """Import a module that `fnet_kernels[models]` installs."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        package = name.partition(".")[0]
        raise ImportError(
            f"{owner} needs {package}: run `pip install 'fnet_kernels[models]'`"
        ) from error


class Source:
    """The files of one checkpoint. `owner` is the function that errors name."""

    def __init__(
        self,
        owner: str,
        source: str | os.PathLike[str],
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
    ) -> None:
        if not isinstance(source, (str, os.PathLike)):
            raise TypeError(f"{owner}: source must be a str or a path, got {kind(source)}")
        self.owner = owner
        self.name = os.fspath(source)
        self._directory = Path(source) if os.path.isdir(source) else None
        self._hub_options = {
            "revision": revision,
            "cache_dir": cache_dir,
            "local_files_only": local_files_only,
        }
        self._not_downloaded: Exception | None = None
        named = isinstance(source, str) and _REPOSITORY.fullmatch(source)
        if self._directory is None and not named:
            raise FileNotFoundError(
                f"{owner}: source must be a directory or a name on the Hugging Face hub, such as"
                f" 'google/fnet-base'; got {self.name!r}"
            )

    def config(self) -> dict[str, Any]:
        return self._object(self._need(CONFIG))

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors by name, mapped from their files and so not in memory yet."""
        for name in _WEIGHTS:
            if (path := self._find(name)) is None:
                continue
            if not name.endswith(".index.json"):
                return self._read(path)
            shards = self._shards(path)
            return {
                key: tensor
                for shard in shards
                for key, tensor in self._read(self._need(shard)).items()
            }
        raise self._absent(f"none of {', '.join(_WEIGHTS)}")

    def _read(self, path: Path) -> dict[str, Tensor]:
        if path.suffix == ".safetensors":
            load = optional_module(self.owner, "safetensors.torch").load_file
        else:
            load = _load_bin
        try:
            tensors: dict[str, Tensor] = load(path)
        except Exception as error:
            raise self._unreadable(path, error) from error
        for name, tensor in tensors.items():
            if not isinstance(tensor, Tensor):
                raise self._unreadable(path, f"{name!r} is no tensor, but a {kind(tensor)}")
        return tensors

    def _object(self, path: Path) -> dict[str, Any]:
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise self._unreadable(path, error) from error
        if not isinstance(values, dict):
            raise self._unreadable(path, f"it must hold an object, got {kind(values)}")
        return values

    def _shards(self, path: Path) -> list[str]:
        """The files that an index names, each once."""
        files = self._object(path).get("weight_map")
        if not isinstance(files, dict) or not all(isinstance(name, str) for name in files.values()):
            raise self._unreadable(path, "weight_map must hold the file of each tensor")
        return list(dict.fromkeys(files.values()))

    def _unreadable(self, path: Path, why: object) -> ValueError:
        return ValueError(f"{self.owner}: cannot read {path}: {why}")

    def _need(self, name: str) -> Path:
        if (path := self._find(name)) is None:
            raise self._absent(f"no {name}")
        return path

    def _absent(self, what: str) -> FileNotFoundError:
        why = f": {self._not_downloaded}" if self._not_downloaded else ""
        return FileNotFoundError(f"{self.owner}: {self.name} has {what}{why}")

    def _find(self, name: str) -> Path | None:
        if self._directory is not None:
            path = self._directory / name
            return path if path.is_file() else None
        hub = optional_module(self.owner, "huggingface_hub")
        try:
            return Path(hub.hf_hub_download(self.name, name, **self._hub_options))
        except hub.errors.EntryNotFoundError as error:
            # Not in the repository, or, a subclass, not in the cache and the hub out of reach.
            if isinstance(error, hub.errors.LocalEntryNotFoundError):
                self._not_downloaded = error
            return None


def _load_bin(path: Path) -> dict[str, Tensor]:
    # Files of torch before 1.6 are not zip archives, which alone can be mapped.
    state: dict[str, Tensor] = torch.load(
        path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
    )
    return state
