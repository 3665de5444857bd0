"""Mixers whose parameters depend on the length of the sequence.

defines: PAPER_STD, SizedMixer
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import pad

from fnet_kernels._ops.checks import check_size
from fnet_kernels.mixers.checks import check_dtype_of_parameters, checked
from fnet_kernels.mixers.gain import Gain

PAPER_STD = 0.02  # of the learned kernels in the code of FNet, Sparse Mixers and GFNet


class SizedMixer(nn.Module):
    """Base class that checks the input against the sizes.

    A subclass has a `name`, a `seq_kernel`, `mix` and `reset_parameters`.

    Args:
        hidden_size: length of the last axis.
        seq_len: longest sequence, or the only length if `takes_shorter` is false.
        gain: `"paper"` for the published initialisation. With a number, white noise of `seq_len`
            tokens leaves the initialised mixer with `abs(gain)` times its root mean square, in
            expectation; of n tokens, where a mixer takes fewer, with sqrt(n / seq_len) times that.

    Shape: input and output are `[..., seq, hidden_size]` and have the same dtype, except under
    autocast.

    Raises:
        TypeError: a size is not an integer; in `forward`, x is no dense tensor in the dtype of the
            parameters.
        ValueError: a size is less than 1 or `seq_len` is missing; in `forward`, x has another
            hidden size or a length that does not fit.
    """

    name: ClassVar[str]
    takes_shorter: ClassVar[bool] = False
    seq_kernel: Tensor

    def __init__(self, hidden_size: int, seq_len: int | None, gain: Gain) -> None:
        super().__init__()
        if seq_len is None:
            raise ValueError(
                f"{self.name}: seq_len must be an int, got None: the sizes of the parameters follow"
                " from it"
            )
        self.hidden_size = check_size(self.name, "hidden_size", hidden_size)
        self.seq_len = check_size(self.name, "seq_len", seq_len)
        self.gain = gain

    def mix(self, x: Tensor) -> Tensor:
        """Mix `x`, which fits and is not empty."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        x = checked(self.name, x, self.hidden_size)
        self._check(x)
        if x.numel():
            return self.mix(x).contiguous()
        # Of rows of zeros: the parameters get gradients, and the dtype is the same.
        missing = [side for size in reversed(x.shape) for side in (0, int(size == 0))]
        rows = self.mix(pad(x, missing))
        return rows[tuple(slice(size) for size in x.shape)].contiguous()

    def _check(self, x: Tensor) -> None:
        length = x.size(-2)
        if length > self.seq_len or (length < self.seq_len and not self.takes_shorter):
            count = "at most" if self.takes_shorter else "exactly"
            raise ValueError(
                f"{self.name}: x must have {count} seq_len={self.seq_len} tokens; got {length}"
            )
        check_dtype_of_parameters(self.name, x, self.seq_kernel.dtype)

    def extra_repr(self) -> str:
        return f"hidden_size={self.hidden_size}, seq_len={self.seq_len}, gain={self.gain}"
