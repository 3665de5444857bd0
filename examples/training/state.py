"""The saved state of a run: with it, a run that was killed goes on as if it had not been.

defines: Progress, check_options, restore, save
"""

from __future__ import annotations

import io
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from examples.training.failures import writing
from examples.training.options import Options, name_of

FILE = "state.pt"
#: Flags that a resumed run may change.
_FREE = {"out", "resume", "device", "threads", "log_every", "evaluate_every", "save_every"}


@dataclass
class Progress:
    """How far a run is. Its order of examples and its dropout are functions of the step."""

    step: int = 0
    seconds: float = 0.0
    tokens: int = 0


def save(
    folder: Path,
    progress: Progress,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    options: Options,
    data: str,
) -> None:
    """Write the state; the file before stays whole until the new one is.

    Args:
        data: hash of the data, which `restore` compares.
    """
    content = {
        **asdict(progress),
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "options": asdict(options),
        "data": data,
    }
    # In memory first: torch reports a full disk by an error without a reason.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    path = folder / FILE
    temporary = path.with_suffix(".part")
    with writing(path):
        try:
            with temporary.open("wb") as file:
                file.write(buffer.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def check_options(path: Path, theirs: dict[str, Any], options: Options) -> None:
    """End the program if a run in `path` had other flags."""
    ours = asdict(options)
    for name in sorted((ours.keys() | theirs.keys()) - _FREE):
        if ours.get(name) != theirs.get(name):
            raise SystemExit(
                f"{path} is of a run with {name_of(name)} {theirs.get(name)}, this one has"
                f" {ours.get(name)}: give the same flags, or another --out"
            )


def restore(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, options: Options, data: str
) -> Progress | None:
    """Read the state into a model and its optimizer; None if the folder has none.

    A state of other flags, or of other data, ends the program.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        theirs = content["options"]
    except Exception as error:  # torch.load raises what it meets
        raise SystemExit(f"{path} is not a state of a run: {error}".splitlines()[0]) from None
    check_options(path, theirs, options)
    if content["data"] != data:
        raise SystemExit(f"{path} is of a run on other data: give the same, or another --out")
    model.load_state_dict(content["model"])
    optimizer.load_state_dict(content["optimizer"])
    return Progress(content["step"], content["seconds"], content["tokens"])
