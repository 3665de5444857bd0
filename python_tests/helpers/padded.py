"""Padded batches, and what models give for their sequences.

defines: CU_SEQLENS, LENGTHS, MASK, SEQ, alone, assert_independent, packed, parts
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from python_tests.helpers.close import relative_error

SEQ = 16
LENGTHS = [16, 5, 1, 9]
CU_SEQLENS = [0, 16, 21, 22, 31]
MASK = torch.arange(SEQ) < torch.tensor(LENGTHS)[:, None]


def packed(padded: Tensor, lengths: Sequence[int] = LENGTHS) -> Tensor:
    """The tokens of all sequences, one sequence after the other."""
    return torch.cat([row[:length] for row, length in zip(padded, lengths, strict=True)])


def parts(output: Tensor, lengths: Sequence[int] = LENGTHS) -> list[Tensor]:
    """The result of each sequence, of an `output` that is padded, packed, or one row for each."""
    if output.dim() > 1 and output.size(0) == 1:  # [1, total, ...]
        output = output[0]
    if len(output) == sum(lengths) != len(lengths):
        ends = torch.tensor([0, *lengths]).cumsum(0).tolist()
        return [output[start:end] for start, end in pairwise(ends)]
    if output.dim() > 1 and output.size(1) == SEQ:
        for row, length in zip(output, lengths, strict=True):
            assert torch.equal(row[length:].unique(dim=0), row[length : length + 1])
        return [row[:length] for row, length in zip(output, lengths, strict=True)]
    return list(output)


def alone(
    model: Callable[[Tensor], Sequence[Tensor]], padded: Tensor, lengths: Sequence[int] = LENGTHS
) -> list[list[Tensor]]:
    """For each result of the model, that of each sequence in a batch of its own."""
    rows = [model(row[None, :length]) for row, length in zip(padded, lengths, strict=True)]
    return [[result[0] for result in each] for each in zip(*rows, strict=True)]


def assert_independent(
    outputs: Sequence[Tensor],
    expected: Sequence[Sequence[Tensor]],
    tolerance: float = 1e-5,
    lengths: Sequence[int] = LENGTHS,
    *,
    of_batch: bool = False,
) -> None:
    """Assert that sequences give in a batch what they give alone.

    Errors are relative to the largest number of the sequence, or with `of_batch` of all sequences:
    two logits of a sequence may both be small.
    """
    assert len(outputs) == len(expected) > 0
    for output, singles in zip(outputs, expected, strict=True):
        for part, single in zip(parts(output, lengths), singles, strict=True):
            assert part.shape == single.shape
            if part.numel():
                scale = torch.cat([s.flatten() for s in singles]) if of_batch else single
                own = float(single.abs().max() / scale.abs().max())
                assert relative_error(part, single) * own <= tolerance
