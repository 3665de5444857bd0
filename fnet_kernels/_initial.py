"""How weights start, and how they start again.

defines: Initialised, dense, draw
"""

from __future__ import annotations

from typing import Any

from torch import nn

#: Where a dense layer keeps the standard deviations of its initial weight and bias. Its class stays
#: `nn.Linear`, by which tools of quantisation and of low-rank adaptation find it.
_STDS = "_initial_stds"


def dense(in_features: int, out_features: int, std: float, *, bias_std: float = 0.0) -> nn.Linear:
    """A linear layer with weights from N(0, std^2) and a bias from N(0, bias_std^2)."""
    return draw(nn.Linear(in_features, out_features), std, bias_std=bias_std)


def draw(layer: nn.Linear, std: float, *, bias_std: float = 0.0) -> nn.Linear:
    """Draw weights and bias as `dense` does, now and in `Initialised.reset_parameters`."""
    layer.__dict__[_STDS] = std, bias_std
    nn.init.normal_(layer.weight, std=std)
    if bias_std:
        nn.init.normal_(layer.bias, std=bias_std)
    else:
        nn.init.zeros_(layer.bias)
    return layer


class Initialised(nn.Module):
    """A module that starts all weights below it, not its own alone."""

    def reset_parameters(self) -> None:
        """Draw all weights again, from the distributions of a new module.

        For a module made on the meta device, after `to_empty`. Call it on the whole module: the
        `reset_parameters` of its parts, called one by one, draw dense weights and embeddings as
        torch does.

        Raises:
            TypeError: a part has parameters or buffers and no `reset_parameters`.
        """
        # Parts before what contains them, which draws anew what it knows better, and heads before
        # the embeddings that they may share.
        for name, module in reversed([*self.named_modules()]):
            if not isinstance(module, Initialised):
                _reset(f"{type(self).__name__}: {name}", module)


def _reset(which: str, module: Any) -> None:
    if stds := module.__dict__.get(_STDS):
        draw(module, stds[0], bias_std=stds[1])
    elif hasattr(module, "reset_parameters"):
        module.reset_parameters()
    elif [*module.parameters(recurse=False), *module.buffers(recurse=False)]:
        raise TypeError(
            f"{which} must have reset_parameters, because it has parameters or buffers; got a"
            f" {type(module).__name__}"
        )
