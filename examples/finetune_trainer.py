"""Train the classifier of examples.classify with the Trainer of transformers.

    python -m examples.finetune_trainer --data r8 --epochs 3
    python -m examples.finetune_trainer --data my_texts --from runs/pretrained --epochs 3

A plain FNet is a model of transformers that `hf.patch_fnet` makes faster. One with another mixer,
with attention layers or with other padding is a model that `hf.register` makes known.

The log, the curves and Ctrl-C are those of the other programs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from examples.training import curves, distributed, encode, state
from examples.training.batches import pad
from examples.training.classification import describe
from examples.training.classifier import ClassifyOptions, Prepared, prepare, settled
from examples.training.display import Display
from examples.training.failures import replacing, writing
from examples.training.interrupt import Interrupt
from examples.training.log import Log, records
from examples.training.loop import header, start
from examples.training.metrics import measure
from examples.training.model import check_compiled, padded_length
from examples.training.options import parse
from fnet_kernels import hf

PROGRAM = "finetune_trainer"
FILE = "run.json"  # the flags and the data, which --resume compares
try:  # the Trainer imports accelerate
    from transformers import (
        AutoModelForSequenceClassification,
        PrinterCallback,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )
except ImportError as error:
    raise SystemExit(
        f"{PROGRAM} needs transformers and accelerate, pip install transformers accelerate: {error}"
    ) from None


def main(words: Sequence[str] | None = None) -> dict[str, float]:
    """Run the program; returns the metrics of the test examples, or of validation without any."""
    options = settled(*parse(ClassifyOptions, (__doc__ or "").splitlines()[0], words))
    if options.minutes is not None:
        raise SystemExit("--minutes: the Trainer counts --steps or --epochs")
    with start(PROGRAM, options):
        return _train(options)


def _train(options: ClassifyOptions) -> dict[str, float]:
    ready = prepare(options)
    check_compiled(options, ready.model.config)
    folder, first = Path(options.out), distributed.is_first()
    _begin(folder, options, ready)
    with writing(folder):
        model = _of_transformers(ready, folder / "start")
    trainer = _Trainer(
        model=model,
        args=_arguments(options, folder),
        data_collator=partial(_collate, ready, padded_length(ready.model.config, options.seq)),
        train_dataset=_examples(ready, "train"),
        eval_dataset=_examples(ready, "validation"),
        compute_metrics=lambda found: _metrics(ready, *found),
    )
    trainer.remove_callback(PrinterCallback)  # `_Record` says what it says
    last = _last_checkpoint(folder) if options.resume else None
    about = describe(ready.dataset)
    log = Log(folder if first else None, resume=last is not None)
    if last is None or not records(folder):
        log.write("header", **header(PROGRAM, options, model, about))
    with closing(Display(PROGRAM, quiet=not first)) as display, Interrupt() as interrupt:
        record = _Record(log, display, interrupt)
        trainer.add_callback(record)
        trainer.train(resume_from_checkpoint=last)
    step = trainer.state.global_step
    if record.stopped:
        where = f"step {step} is saved in {folder}: --resume goes on"
        raise SystemExit(f"{PROGRAM}: stopped; {where}" if first else 1)
    judged = "test" if len(ready.splits["test"]) else "validation"
    evaluated = trainer.evaluate(_examples(ready, judged), metric_key_prefix=judged)
    found = {
        name: float(evaluated[f"{judged}_{name}"]) for name in ("loss", *ready.dataset.metrics)
    }
    with writing(folder):
        trainer.save_model(str(folder / "model"))
        if ready.encoder is not None and first:
            encode.save_beside(ready.encoder, folder / "model", options.seq, about["data"])
    if first:
        curves.draw(folder)
    log.write("test" if judged == "test" else "finished", step=step, **found)
    log.close()
    print(f"{PROGRAM}: {judged} {found}")
    return found


class _Trainer(Trainer):
    """Ends the program with one sentence if a checkpoint cannot be written."""

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        folder = Path(str(self.args.output_dir))
        try:
            with writing(folder):
                super()._save_checkpoint(*args, **kwargs)
        except RuntimeError as error:  # torch.save reports a full disk so
            raise SystemExit(f"cannot write {folder}: {error}") from None


class _Record(TrainerCallback):
    """Writes the log, shows how far the run is, and ends it after Ctrl-C with a checkpoint."""

    def __init__(self, log: Log, display: Display, interrupt: Interrupt) -> None:
        self.log, self.display, self.interrupt = log, display, interrupt
        self.stopped, self.shown = False, ""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step:
            self.log.write("resumed", step=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        logs, step = given["logs"], state.global_step
        for name, value in logs.items():
            if not math.isfinite(value):
                raise SystemExit(f"{PROGRAM}: the {name} of step {step} is {value}; lower --lr")
        if "loss" in logs:
            self.log.write("step", step=step, loss=float(logs["loss"]), lr=logs["learning_rate"])
            self.shown = f"  loss {float(logs['loss']):.4f}"
        own = ("eval_runtime", "eval_samples_per_second", "eval_steps_per_second")
        judged = {
            name.removeprefix("eval_"): value
            for name, value in logs.items()
            if name.startswith("eval_") and name not in own
        }
        if judged:
            self.log.write("validation", step=step, **judged)
            figures = "  ".join(f"{name} {value:.4f}" for name, value in judged.items())
            self.display.say(f"{PROGRAM}: step {step}  validation {figures}")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        step = state.global_step
        self.display.update(step / state.max_steps, f"step {step}{self.shown}")
        self.stopped, _seconds = distributed.agree(self.interrupt.asked, 0.0)
        if self.stopped:
            control.should_save = control.should_training_stop = True


def _last_checkpoint(folder: Path) -> str | None:
    """The last checkpoint that is complete: the Trainer writes its state after all else."""
    found = []
    for path in folder.glob("checkpoint-*/trainer_state.json"):
        try:
            found.append((int(json.loads(path.read_text())["global_step"]), str(path.parent)))
        except (KeyError, ValueError):  # cut off
            continue
    return max(found)[1] if found else None


def _begin(folder: Path, options: ClassifyOptions, ready: Prepared) -> None:
    """Note what the run is, or check that `--resume` goes on with the same one."""
    if not distributed.is_first():
        return
    path = folder / FILE
    origin = state.origin_of(PROGRAM, ready.dataset.sha256, ready.encoder)
    if path.exists() and not options.resume:
        raise SystemExit(f"{folder} has a run: add --resume to go on with it, or change --out")
    if path.exists():
        try:
            known = json.loads(path.read_text())
            flags, began = known["options"], known["origin"]
        except (KeyError, TypeError, ValueError) as error:
            raise SystemExit(f"{path} is damaged, or is not of a run: {error}") from None
        state.check_options(path, flags, options)
        state.check_origin(path, began, origin)
    else:
        with replacing(path) as file:
            file.write(json.dumps({"options": asdict(options), "origin": origin}).encode())


def _examples(ready: Prepared, split: str) -> Any:
    """The examples as the Trainer sees them: their split and number, until they are padded."""
    return [(split, number) for number in range(len(ready.splits[split]))]


def _collate(ready: Prepared, seq: int | None, rows: list[tuple[str, int]]) -> dict[str, Any]:
    (split,) = {split for split, _ in rows}
    batch = pad(ready.splits[split], np.array([number for _, number in rows]), seq)
    types = {} if batch.types is None else {"token_type_ids": batch.types}
    labels = batch.labels if ready.dataset.classes else batch.labels.float()
    mask = batch.mask.long()
    return {"input_ids": batch.ids, "attention_mask": mask, **types, "labels": labels}


def _of_transformers(ready: Prepared, folder: Path) -> Any:
    """The model as transformers loads it, with the same weights."""
    if distributed.is_first():
        ready.model.save_pretrained(folder)
    distributed.gather(None)  # until it is written
    hf.register()
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    # FNet's loss is a mean and ignores `num_items_in_batch`, which its signature lets pass. Without
    # this, several processes multiply the loss by their number.
    model.accepts_loss_kwargs = False
    if model.config.model_type == "fnet":
        print(hf.patch_fnet(model))
    return model


def _arguments(options: ClassifyOptions, folder: Path) -> TrainingArguments:
    """The flags in the words of transformers."""
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=options.steps or -1,
        num_train_epochs=options.epochs or 10,
        per_device_train_batch_size=options.batch,
        per_device_eval_batch_size=options.batch,
        learning_rate=options.lr,
        warmup_steps=min(options.warmup, math.nextafter(1.0, 0.0)),  # 1.0 means one step
        weight_decay=options.weight_decay,
        max_grad_norm=1.0,
        seed=options.seed,
        bf16=options.dtype == "bf16",
        torch_compile=options.compile,
        use_cpu=options.device == "cpu" or not torch.cuda.is_available(),
        logging_steps=options.log_every,
        eval_strategy="steps" if options.evaluate_every else "epoch",
        eval_steps=options.evaluate_every,
        save_steps=options.save_every,
        save_total_limit=2,
        remove_unused_columns=False,
        dataloader_pin_memory=options.device != "cpu" and torch.cuda.is_available(),
        report_to="none",
        disable_tqdm=True,
    )


def _metrics(ready: Prepared, outputs: Any, labels: Any) -> dict[str, float]:
    logits = outputs[0] if isinstance(outputs, tuple) else outputs
    predictions = logits.argmax(-1) if ready.dataset.classes else logits.squeeze(-1)
    return measure(ready.dataset.metrics, predictions, labels)


if __name__ == "__main__":
    main()
