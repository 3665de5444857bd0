"""Sequences of different lengths for the simulated CUDA kernels, and each of them alone."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from arrays import EPS, Array, store
from problems import H100, MODULE, NORM, OK, Output, Problem, errors, numbers

HIDDEN = 64
WITH_KERNELS = (16, 384)


class Packed:
    """Rows of all sequences (length, length of the transform).

    `gap` rows of NaN follow each, and columns of NaN fill up a row to `pitch`. In results the gaps
    are zeros if `padded`, and not written otherwise.
    """

    def __init__(
        self,
        sequences: list[tuple[int, int]],
        dtype: str,
        kind: int,
        gap: int = 0,
        pitch: int = HIDDEN,
        padded: bool = False,
    ) -> None:
        self.dtype, self.kind, self.sequences = dtype, kind, sequences
        self.cleared = gap if padded else 0
        self.rows = [
            store(numbers(length, HIDDEN, seed=i), dtype) for i, (length, _) in enumerate(sequences)
        ]
        self.starts, total = [], 0
        for length, _ in sequences:
            self.starts.append(total)
            total += length + gap
        nan = store(np.full((total, pitch), np.nan), dtype)
        self.x, self.pitch = nan, pitch
        for start, rows in zip(self.starts, self.rows, strict=True):
            self.x[start : start + len(rows), :HIDDEN] = rows
        self.weight = store(1 + 0.1 * numbers(HIDDEN), dtype)
        self.bias = store(numbers(HIDDEN, seed=1), dtype)

    def run(self, module: ModuleType = MODULE, **options: Any) -> Output:
        norm = self.kind == NORM
        settings = {"train": norm, "in_place": False, "device": H100, "seed": 0}
        where = [
            (start * self.pitch, start, length, seq, start + length + self.cleared)
            for start, (length, seq) in zip(self.starts, self.sequences, strict=True)
        ]
        return module.mix_varlen(
            self.x,
            HIDDEN,
            self.dtype,
            self.kind,
            0.75,
            EPS,
            self.weight if norm else None,
            self.bias if norm else None,
            sequences=where,
            output_rows=len(self.x),
            **settings | options,
        )

    def alone(self, i: int) -> dict[str, Array]:
        """The dense call of sequence i, extended by zeros."""
        length, seq = self.sequences[i]
        problem = Problem(1, seq, HIDDEN, self.dtype, self.kind)
        problem.scale, problem.weight, problem.bias = 0.75, self.weight, self.bias
        problem.stored = np.zeros((1, seq, HIDDEN), self.x.dtype)
        problem.stored[0, :length] = self.rows[i]
        output = problem.run(train=self.kind == NORM)
        problem.check(output)
        return {name: rows_of(output[name], self.dtype, name)[:length] for name in names(output)}

    def check(self, output: Output) -> None:
        assert output["status"] == OK
        assert errors(output) == []
        written = np.zeros(len(self.x), bool)
        for i, (length, seq) in enumerate(self.sequences):
            end = self.starts[i] + length
            past = slice(end, end + self.cleared)
            written[past] = True
            for name in names(output):
                assert not rows_of(output[name], self.dtype, name)[past].any(), f"{name} past {i}"
            if length == 0 or seq not in WITH_KERNELS:
                continue
            where = slice(self.starts[i], self.starts[i] + length)
            written[where] = True
            for name, expected in self.alone(i).items():
                found = rows_of(output[name], self.dtype, name)[where]
                np.testing.assert_array_equal(found, expected, err_msg=f"{name} of {i}")
        untouched = rows_of(output["y"], self.dtype, "y")[~written]
        assert (untouched == np.iinfo(untouched.dtype).max).all()  # as allocated


class Padded:
    """[len(lengths), seq, hidden] with transforms that have no kernels: only zeros are written."""

    def __init__(self, lengths: list[int], seq: int, hidden: int, dtype: str) -> None:
        self.lengths, self.seq, self.hidden, self.dtype = lengths, seq, hidden, dtype
        self.past = np.array([n >= length for length in lengths for n in range(seq)])

    def run(self, module: ModuleType = MODULE, train: bool = True) -> Output:
        x = store(np.zeros((len(self.past), self.hidden)), self.dtype)
        sequences = [
            (i * self.seq * self.hidden, i * self.seq, length, 17, (i + 1) * self.seq)
            for i, length in enumerate(self.lengths)
        ]
        args = (x, self.hidden, self.dtype, NORM, 1.0, EPS, None, None, train, False)
        return module.mix_varlen(*args, sequences, len(x), H100, 0)

    def check(self, output: Output) -> None:
        assert (output["status"], errors(output)) == (OK, [])
        row_bytes = 0
        for name in names(output):
            rows = np.asarray(output[name]).reshape(len(self.past), -1)
            row_bytes += rows.shape[1]
            assert not rows[self.past].any(), name
            assert (rows[~self.past] == 0xFF).all(), f"{name}: as allocated"
        written = sum(a["bytes"] for launch in output["launches"] for a in launch["accesses"])
        assert written == self.past.sum() * row_bytes


def names(output: Output) -> set[str]:
    return {"y", "normalized", "rstd"} & set(output)


def rows_of(raw: Array, dtype: str, name: str) -> Array:
    """The bits of each row."""
    if name == "rstd":
        return np.asarray(raw).view(np.uint32)
    bits = np.uint32 if dtype == "float32" else np.uint16
    return np.asarray(raw).view(bits).reshape(-1, HIDDEN)
