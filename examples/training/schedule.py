"""How long a training lasts, and its learning rate.

defines: Budget, rate
"""

from __future__ import annotations

from dataclasses import dataclass

from examples.training.options import Options


@dataclass(frozen=True)
class Budget:
    """The end of a training: a number of steps, or seconds. One of the two is None."""

    steps: int | None
    seconds: float | None

    @classmethod
    def of(cls, options: Options, steps_per_epoch: int) -> Budget:
        """The budget of `--steps`, `--minutes` or `--epochs`."""
        if options.minutes is not None:
            return cls(None, 60.0 * options.minutes)
        return cls(options.steps or (options.epochs or 10) * steps_per_epoch, None)

    def spent(self, step: int, seconds: float) -> float:
        """The share of the budget that `step` steps and `seconds` seconds are."""
        if self.steps is not None:
            return step / self.steps
        assert self.seconds is not None
        return seconds / self.seconds if self.seconds else 1.0


def rate(highest: float, warmup: float, spent: float) -> float:
    """The learning rate: it rises from 0 over the share `warmup`, then falls to 0, both linearly.

    >>> [rate(1.0, 0.5, spent) for spent in (0.0, 0.25, 0.5, 0.75, 1.0)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if spent < warmup:
        return highest * spent / warmup
    return highest * max(0.0, 1.0 - spent) / (1.0 - warmup) if warmup < 1.0 else highest
