"""How a batch divides into sequences that are mixed one by one.

A model makes `Sequences` once a call and hands them to its layers. `docs/padding.md` compares the
meanings of padding.

defines: Packed, Sequences, Traced, mixed_by, refuse_proxy, without_padding
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from itertools import accumulate
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Proxy
from torch.nn.functional import pad

from fnet_kernels._fusible import has_global_hooks, only_runs_forward
from fnet_kernels._norm import Norm
from fnet_kernels._ops.checks import check_mixed, check_x
from fnet_kernels._ops.sequences import prefix
from fnet_kernels.functional import fourier_mix, fused_fourier_mix
from fnet_kernels.modules import FourierMix
from fnet_kernels.varlen import fused_rows, mixed_rows, with_batch


class Sequences:
    """A batch as layers see it: padding is rows of zeros, which are mixed like the other rows.

    Args:
        kept: `[..., seq]`, true for the tokens of a sequence; None if the input has no padding.
    """

    #: Whether the input is packed tokens, `[total, hidden]`.
    packed = False

    def __init__(self, kept: Tensor | None) -> None:
        self.kept = kept

    def enter(self, x: Tensor) -> Tensor:
        """The rows that layers compute, of the input `[..., seq, hidden]` of a model."""
        return x

    def leave(self, y: Tensor) -> Tensor:
        """The inverse of `enter`, with zeros for padding."""
        return self.cleared(y)

    def cleared(self, x: Tensor) -> Tensor:
        """`x` with zeros for padding, where layers see padding."""
        return x if self.kept is None else x.masked_fill(~self.kept[..., None].to(x.device), 0)

    def batch(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """`x` with axes for sequences and for their tokens, and a mask of the tokens that exist."""
        return x, self.kept

    def rows(self, batch: Tensor) -> Tensor:
        """The inverse of `batch`."""
        return batch

    def by_sequence(self, y: Tensor) -> tuple[Tensor, Tensor | None]:
        """As `batch`, for the output of a model."""
        return y, self.kept

    def fused_fourier_mix(
        self,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
        *,
        scale: float = 1,
        norm: Norm = "backward",
    ) -> Tensor:
        """`fnet_kernels.fused_fourier_mix` of each sequence."""
        return fused_fourier_mix(x, weight, bias, eps, scale=scale, norm=norm)

    def fourier_mix(self, x: Tensor, *, scale: float = 1, norm: Norm = "backward") -> Tensor:
        """`fnet_kernels.fourier_mix` of each sequence."""
        return fourier_mix(x, scale=scale, norm=norm)

    def mix(self, mixer: Any, x: Tensor) -> Tensor:
        """`mixer` of each sequence."""
        if only_runs_forward(mixer, FourierMix) and not has_global_hooks():
            return self.fourier_mix(x, scale=mixer.scale, norm=mixer.norm)
        return self.mix_any(mixer, x)

    def mix_any(self, mixer: nn.Module, x: Tensor) -> Tensor:
        """`mixer` of each sequence, whatever it is."""
        return mixed_by(mixer, x)


class Packed(Sequences):
    """Each sequence is mixed over its own length. Layers see tokens alone, `[..., total, hidden]`.

    Args:
        lengths: of the sequences.
        shape: `[..., seq]` of the input if that is padded, else of the packed tokens.
        padded: whether the input is padded.
        round_to: mixing is over the next multiple of it, filled with zeros; None for the length
            itself.
        device: of the input.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        shape: Sequence[int],
        *,
        padded: bool,
        round_to: int | None,
        device: torch.device,
    ) -> None:
        self.lengths = list(lengths)
        self.offsets = [0, *accumulate(lengths)]
        self.longest = max([0, *lengths])
        self.shape = tuple(shape)
        self.round_to = round_to
        self.packed = not padded
        self._grids: dict[Any, tuple[Tensor, Tensor]] = {}  # every attention layer reads them
        self._places = self._rows_of(self.shape[-1], device) if padded else None
        super().__init__(prefix(lengths, shape[-1], device).view(self.shape) if padded else None)

    def enter(self, x: Tensor) -> Tensor:
        x = x.flatten(0, -2)
        return x if self._places is None else x.index_select(0, self._places.to(x.device))

    def leave(self, y: Tensor) -> Tensor:
        y = y.flatten(0, -2)
        if self._places is not None:
            y = _spread(y, self._places.to(y.device), prod(self.shape))
        return y.view(*self.shape, y.size(-1))

    def cleared(self, x: Tensor) -> Tensor:
        return x

    def batch(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        count, longest = len(self.lengths), max(1, self.longest)  # the pooler reads a first row
        places, kept = self._grid(longest, x.device)
        y = _spread(x.flatten(0, -2), places, count * longest)
        return y.view(count, longest, x.size(-1)), kept

    def rows(self, batch: Tensor) -> Tensor:
        places, _ = self._grid(batch.size(1), batch.device)
        return batch.flatten(0, 1).index_select(0, places)

    def by_sequence(self, y: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.batch(y) if self._places is None else (y, self.kept)

    def positions(self, device: torch.device) -> Tensor:
        """The position of each token in its sequence."""
        return self._rows_of(0, device)

    def fused_fourier_mix(
        self,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
        *,
        scale: float = 1,
        norm: Norm = "backward",
    ) -> Tensor:
        name = "fused_fourier_mix"
        rows = check_x(name, x).flatten(0, -2)
        y = fused_rows(name, rows, weight, bias, eps, self.lengths, scale, norm, self.round_to)
        return y.view(x.shape)

    def fourier_mix(self, x: Tensor, *, scale: float = 1, norm: Norm = "backward") -> Tensor:
        name = "fourier_mix"
        rows = check_x(name, x).flatten(0, -2)
        return mixed_rows(name, rows, self.lengths, scale, norm, self.round_to).view(x.shape)

    def mix_any(self, mixer: nn.Module, x: Tensor) -> Tensor:
        # Sequences that are mixed over the same length share a call.
        alike: dict[int, list[int]] = {}
        for i, length in enumerate(self.lengths):
            if length:
                alike.setdefault(self._mixed_length(length), []).append(i)
        tokens = list(torch.split(x.flatten(0, -2), self.lengths))
        for size, members in alike.items():
            filled = [pad(tokens[i], (0, 0, 0, size - self.lengths[i])) for i in members]
            for i, mixed in zip(members, mixed_by(mixer, torch.stack(filled)), strict=True):
                tokens[i] = mixed[: self.lengths[i]]
        return torch.cat(tokens).view(x.shape) if tokens else x

    def _mixed_length(self, length: int) -> int:
        step = self.round_to or 1
        return -(-length // step) * step

    def _grid(self, seq: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """The row of each token in `[batch, seq]`, and the mask of these rows."""
        key = seq, device
        if key not in self._grids:
            self._grids[key] = self._rows_of(seq, device), prefix(self.lengths, seq, device)
        return self._grids[key]

    def _rows_of(self, seq: int, device: torch.device) -> Tensor:
        """The row of each token in `[batch, seq]`."""
        # Sequence b starts at row b * seq in place of row offsets[b]. `seq` may be a tensor, which
        # torch.jit.trace records.
        host: Any = {"dtype": torch.int64, "device": "cpu"}  # whatever the default device is
        starts = torch.tensor(self.offsets[:-1], **host)
        moved = torch.repeat_interleave(
            torch.arange(len(starts), **host) * seq - starts,
            torch.tensor(self.lengths, **host),
            output_size=self.offsets[-1],
        )
        return (torch.arange(self.offsets[-1], **host) + moved).to(device)


class Traced(Sequences):
    """As `Packed`, for lengths that Python must not read: layers see the padded input.

    Args:
        kept: `[..., seq]`, true for the tokens of a sequence, which come first.
        round_to: as in `Packed`.
        lengths: the integers or the mask that `kept` is made of, which the operator checks; None if
            they have been checked.
        whole: whether `kept` is true for all rows.
    """

    def __init__(
        self,
        kept: Tensor,
        round_to: int | None,
        lengths: Tensor | None = None,
        *,
        whole: bool = False,
    ) -> None:
        super().__init__(kept)
        self.whole = whole
        self.lengths = kept.sum(-1) if lengths is None else lengths
        self.round_to = round_to

    def fused_fourier_mix(
        self,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
        *,
        scale: float = 1,
        norm: Norm = "backward",
    ) -> Tensor:
        name = "fused_fourier_mix"
        rows, lengths = with_batch(check_x(name, x), self.lengths)
        y = fused_rows(name, rows, weight, bias, eps, lengths, scale, norm, self.round_to)
        return y.view(x.shape)

    def fourier_mix(self, x: Tensor, *, scale: float = 1, norm: Norm = "backward") -> Tensor:
        name = "fourier_mix"
        rows, lengths = with_batch(check_x(name, x), self.lengths)
        return mixed_rows(name, rows, lengths, scale, norm, self.round_to).view(x.shape)

    def mix_any(self, mixer: nn.Module, x: Tensor) -> Tensor:
        if self.whole:
            seq, step = x.size(-2), self.round_to or 1
            return mixed_by(mixer, pad(x, (0, 0, 0, -seq % step)))[..., :seq, :]
        raise ValueError(
            f"{type(mixer).__name__}: in a graph and under torch.vmap, lengths must be a list of"
            " ints, because this mixer is called for each length; got a tensor"
        )


def mixed_by(mixer: nn.Module, x: Tensor) -> Tensor:
    """`mixer(x)`, which must have the shape of `x`."""
    y: Tensor = mixer(x)
    check_mixed(mixer, x, y)
    return y


def without_padding(logits: Tensor, kept: Tensor | None) -> Tensor:
    """`logits` `[..., seq, n]` for a softmax over seq: padding has the least number, weight 0."""
    if kept is None:
        return logits
    return logits.masked_fill(~kept[..., None], torch.finfo(logits.dtype).min)


def _spread(rows: Tensor, places: Tensor, count: int) -> Tensor:
    """`count` rows with `rows` at `places`, and zeros elsewhere."""
    return rows.new_zeros(count, rows.size(-1)).index_copy(0, places, rows)


def refuse_proxy(module: nn.Module, sequences: object) -> None:
    """Raise an error if `torch.fx` traces `module` as the root: its default arguments are proxies.

    A proxy for None is not None, so the graph would be that of another call.
    """
    if isinstance(sequences, Proxy):
        parameters = inspect.signature(module.forward).parameters.values()
        optional = {parameter.name: None for parameter in parameters if parameter.default is None}
        raise TypeError(
            f"{type(module).__name__}: torch.fx must know which arguments are None: pass"
            f" concrete_args={optional} to symbolic_trace, or trace a module that calls this one"
        )
