"""The saved state of a run: with it, a run that was killed goes on as if it had not been.

defines: Progress, check_options, check_origin, origin_of, restore, save
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from examples.training import distributed
from examples.training.encode import Encoder
from examples.training.failures import replacing
from examples.training.options import Options, name_of
from examples.training.vocabulary import identity

FILE = "state.pt"
#: Flags that a resumed run may change; device and threads while they leave the clock as it is.
_FREE = {"out", "resume", "device", "threads", "log_every", "evaluate_every", "save_every"}
#: What it may not change beside the flags, and how an error says it.
_ORIGIN = {
    "program": "of {}",
    "data": "on data of SHA-256 {:.12}",
    "vocabulary": "with a vocabulary of SHA-256 {:.12}",
    "processes": "of {} processes",
    "clock": "with {} time",
}
_AS_BEFORE = {"clock": "--threads and --device as before"}  # or else "the same"


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
    origin: dict[str, Any],
) -> None:
    """Write the state; the file before stays whole until the new one is.

    Args:
        origin: program, data and all else that `check_origin` compares.
    """
    content = {
        **asdict(progress),
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "options": asdict(options),
        "origin": origin,
    }
    # In memory first: torch reports a full disk by an error without a reason.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with replacing(folder / FILE) as file:
        file.write(buffer.getbuffer())


def origin_of(program: str, data: str, encoder: Encoder | None) -> dict[str, Any]:
    """What a run began as, which `check_origin` compares; `data` is the hash of the data set.

    The loop adds the name of its clock, as the seconds of two clocks have no sum.
    """
    return {
        "program": program,
        "data": data,
        "vocabulary": identity(encoder),
        "processes": distributed.processes(),
    }


def check_origin(path: Path, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """End the program if a run in `path` began otherwise: what `ours` has is compared."""
    for name, said in _ORIGIN.items():
        if name in ours and theirs.get(name) != ours[name]:
            was, now = (said.format(str(values.get(name))) for values in (theirs, ours))
            give = _AS_BEFORE.get(name, "the same")
            raise SystemExit(f"{path} is of a run {was}, not {now}: give {give}, or another --out")


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
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    options: Options,
    origin: dict[str, Any],
) -> Progress | None:
    """Read the state into a model and its optimizer; None if the folder has none.

    A state of other flags, or of another origin, ends the program.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        flags, theirs = content["options"], content["origin"]
    except Exception as error:  # torch.load raises what it meets
        why = type(error).__name__
        raise SystemExit(f"{path} is damaged, or is not the state of a run ({why})") from None
    check_options(path, flags, options)
    if theirs.get("clock") is None:  # an older state, which knew it with --minutes alone
        theirs = {**theirs, "clock": origin["clock"]}
    check_origin(path, theirs, origin)
    try:
        model.load_state_dict(content["model"])
        optimizer.load_state_dict(content["optimizer"])
    except (KeyError, RuntimeError, ValueError) as error:
        raise SystemExit(f"{path} is of another model: {error}".splitlines()[0]) from None
    return Progress(content["step"], content["seconds"], content["tokens"])
