"""The training loop of all programs.

defines: Task, header, run, start
"""

from __future__ import annotations

import math
import os
import resource
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, TextIO

import numpy as np
import torch
from torch import Tensor, nn

from examples.training import curves, distributed, encode, state
from examples.training.clock import clock
from examples.training.display import Display
from examples.training.encode import Encoder
from examples.training.failures import discard_parts, lock, writing
from examples.training.interrupt import Interrupt
from examples.training.log import FILE, Log, environment, finished, records
from examples.training.model import check_compiled
from examples.training.options import Options, command
from examples.training.schedule import Budget, rate
from fnet_kernels.models.pretrained import FNetPreTrained

CLIP = 1.0
LOCK = ".lock"  # in --out; the program holds it
_FIRST_STEP = 1e-3  # share of --minutes that the first step is thought to take


class Task(Protocol):
    """What a program trains a model for."""

    steps_per_epoch: int

    def loss(self, model: nn.Module, step: int) -> tuple[Tensor, int]:
        """The loss of this process's part of a step, and the tokens of the whole step."""

    def evaluate(self, model: nn.Module, split: str) -> dict[str, float]:
        """Loss and metrics on "validation" or "test", empty where the data has none."""


@contextmanager
def start(program: str, options: Options) -> Iterator[torch.device]:
    """Hold and check `--out`, set threads and seed, join the processes, and give the device."""
    if find_spec("safetensors") is None:  # the model is saved with it, at the end
        raise SystemExit(f"{program} needs safetensors: pip install safetensors")
    folder = Path(options.out)
    with _held(folder):
        _check(program, options, folder)
        if options.threads is not None:
            torch.set_num_threads(options.threads)
        with distributed.together(options.device) as device:
            torch.manual_seed(options.seed)
            try:
                yield device
            except KeyboardInterrupt:  # outside of the steps, or twice
                where = "--resume goes on from the last state"
                raise SystemExit(f"{program}: stopped; {where}") from None


def _held(folder: Path) -> TextIO | nullcontext[None]:
    """Keep other runs out of a folder; the first of several processes does it for all."""
    if not _starts_first():
        return nullcontext()
    try:
        held = lock(folder / LOCK)
    except BlockingIOError:
        raise SystemExit(
            f"another process runs in {folder}: wait until it ends, or change --out"
        ) from None
    discard_parts(folder)
    return held


def _starts_first() -> bool:
    """As `distributed.is_first`, before the processes of torchrun are together."""
    return os.environ.get("RANK", "0") == "0"


def _check(program: str, options: Options, folder: Path) -> None:
    """End the program if the run in `folder` is finished, or is not one to start or resume."""
    try:
        known = records(folder)
    except ValueError as error:
        raise SystemExit(f"{error}; move the folder away, or change --out") from None
    if options.resume and known and "program" in known[0]:
        state.check_origin(folder / FILE, known[0], {"program": program})
    if options.resume and (last := finished(folder)):
        state.check_options(folder / FILE, known[0]["options"], options)
        if _starts_first():
            print(f"{program}: the run in {folder} is finished: {last}")
        raise SystemExit(0)
    if options.resume and known and "options" in known[0] and (folder / state.FILE).exists():
        state.check_options(folder / state.FILE, known[0]["options"], options)
    # A header without a state is that of a failed start.
    if not options.resume and (len(known) > 1 or (folder / state.FILE).exists()):
        raise SystemExit(f"{folder} has a run: add --resume to go on with it, or change --out")


def run(
    program: str,
    options: Options,
    task: Task,
    model: FNetPreTrained,
    about: dict[str, Any],
    encoder: Encoder | None = None,
) -> dict[str, float]:
    """Train a model, and evaluate it once on the test examples.

    Writes `log.jsonl`, `state.pt` while it trains, and at the end `model/` and `curves.png`.

    Args:
        program: name in the log.
        options: the flags.
        task: gives losses and metrics.
        model: on its device.
        about: what the header says of the data: "data", with a "sha256", and "floors".
        encoder: saved beside the model.

    Returns:
        The metrics of the test examples, or of validation where there are none.
    """
    folder, first = Path(options.out), distributed.is_first()
    check_compiled(options, model.config)
    device = next(model.parameters()).device
    optimizer = _optimizer(model, options)
    origin = state.origin_of(program, about["data"]["sha256"], encoder)
    origin["clock"] = clock(device).name
    progress = state.restore(folder, model, optimizer, options, origin) if options.resume else None
    log = Log(folder if first else None, resume=progress is not None)
    if progress is None or not records(folder):  # someone may have removed the log
        log.write("header", **header(program, options, model, about))
    if progress is not None:
        log.write("resumed", step=progress.step)
    else:
        progress = state.Progress()
    budget = Budget.of(options, task.steps_per_epoch)
    now = clock(device).now
    if options.compile:
        model.compile(fullgraph=True)
    wrapped = distributed.wrap(model)
    display = Display(program, quiet=not first)
    evaluate_every = options.evaluate_every or task.steps_per_epoch
    found: dict[str, float] = {}
    shown = ""  # of the last loss

    def check(name: str, figure: float) -> None:
        if not math.isfinite(figure):
            raise SystemExit(f"{program}: the {name} is {figure}; lower --lr")

    def evaluate(split: str) -> dict[str, float]:
        model.eval()
        with torch.inference_mode(), _precision(options, device):
            figures = task.evaluate(model, split)
        for name, figure in figures.items():
            check(f"{split} {name} after step {progress.step}", figure)
        return figures

    with closing(display), Interrupt() as interrupt:
        while (spent := budget.spent(progress.step, progress.seconds)) < 1.0:
            began = now()
            model.train()
            _reseed(options.seed, progress.step)
            lr = rate(options.lr, options.warmup, _middle(budget, progress.step, spent))
            for group in optimizer.param_groups:
                group["lr"] = lr
            with _precision(options, device):
                loss, tokens = task.loss(wrapped, progress.step)
            loss.backward()  # type: ignore[no-untyped-call]
            norm = nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            optimizer.zero_grad()
            progress.step += 1
            progress.tokens += tokens
            step = progress.step
            logged, saved = step % options.log_every == 0, step % options.save_every == 0
            value = _mean(loss) if logged or saved else None  # waits for a GPU
            taken = progress.seconds + now() - began
            stop, progress.seconds = distributed.agree(interrupt.asked, taken)
            spent = budget.spent(step, progress.seconds)
            last = stop or spent >= 1.0
            if value is None and last:
                value = _mean(loss)
            if value is not None:  # so no state with a NaN takes the place of a good one
                check(f"loss of step {step}", value)
                check(f"gradient of step {step}", norm.item())
            if logged:
                log.write("step", step=step, loss=value, lr=lr, **_costs(progress, device))
                shown = f"  loss {value:.4f}"
            speed = progress.tokens / progress.seconds
            display.update(min(spent, 1.0), f"step {step}{shown}  {speed:,.0f} tokens/s")
            if step % evaluate_every == 0 or spent >= 1.0:
                found = evaluate("validation")
                log.write("validation", step=step, **found)
                display.say(f"{program}: step {step}  validation {_text(found)}")
            if first and (saved or last):
                state.save(folder, progress, model, optimizer, options, origin)
            if stop:
                break
        # Ctrl-C in the last validation counts, too: a resumed run then does the test alone.
        stop, _ = distributed.agree(interrupt.asked, progress.seconds)
        if stop:
            where = f"step {progress.step} is saved in {folder}: --resume goes on"
            raise SystemExit(f"{program}: stopped; {where}" if first else 1)
    test = evaluate("test")
    if first:
        with writing(folder):
            model.save_pretrained(folder / "model")
            if encoder is not None:
                encode.save_beside(encoder, folder / "model", options.seq, about["data"])
        curves.draw(folder)
    costs = _costs(progress, device)
    log.write("test" if test else "finished", step=progress.step, **test, **costs)
    log.close()
    if first:  # last, so that a crash before it only repeats the test
        (folder / state.FILE).unlink(missing_ok=True)
    display.say(f"{program}: test {_text(test)}" if test else f"{program}: finished")
    return test or found or evaluate("validation")


def _optimizer(model: nn.Module, options: Options) -> torch.optim.AdamW:
    """AdamW, without weight decay of vectors: biases, LayerNorm, circulant and Toeplitz kernels."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    fused = all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in parameters)
    return torch.optim.AdamW(groups, lr=options.lr, fused=fused)


def header(
    program: str, options: Options, model: nn.Module, about: dict[str, Any]
) -> dict[str, Any]:
    """The first record of a log: what the run is."""
    device = next(model.parameters()).device
    return {
        "program": program,
        "command": command(),
        "options": asdict(options),
        **environment(device),
        "clock": clock(device).name,
        "processes": distributed.processes(),
        "parameters": sum(p.numel() for p in model.parameters()),
        **about,
        "seed": options.seed,
    }


def _reseed(seed: int, step: int) -> None:
    """Make the dropout of a step a function of the seed, the step and the process."""
    sequence = np.random.SeedSequence((seed, step, distributed.rank()))
    torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1)))


def _middle(budget: Budget, step: int, spent: float) -> float:
    """The share of the budget in the middle of a step, so that no step has rate 0.

    With --minutes, a step is thought to take the mean of those before it, or else what is left.
    """
    if budget.steps:
        return spent + 0.5 / budget.steps
    share = spent / step if step else _FIRST_STEP
    return spent + 0.5 * min(share, 1.0 - spent)


def _precision(options: Options, device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=options.dtype == "bf16")


def _mean(loss: Tensor) -> float:
    values: list[float] = distributed.gather(loss.item())
    return sum(values) / len(values)


def _costs(progress: state.Progress, device: torch.device) -> dict[str, Any]:
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device)
    else:
        peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"tokens": progress.tokens, "seconds": progress.seconds, "peak_bytes": peak}


def _text(found: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in found.items()) or "has no examples"
