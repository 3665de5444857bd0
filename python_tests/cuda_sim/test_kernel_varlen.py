"""Sequences of different lengths in the CUDA kernels: each, to the bit, as if it were alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from packed import HIDDEN, WITH_KERNELS, Packed, rows_of
from problems import DTYPES, MIX, NORM, OK, ONE_BY_ONE, errors

#: (length, length of the transform): runs of one length and single ones, extended ones, one that is
#: empty, one whose length has no kernels.
SEQUENCES = [(16, 16), (384, 384), (16, 16), (0, 0), (5, 16), (16, 16), (40, 40), (9, 16)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", [MIX, NORM])
def test_each_sequence_is_as_if_alone(kind: int, dtype: str) -> None:
    packed = Packed(SEQUENCES, dtype, kind)
    output = packed.run()
    packed.check(output)
    assert output["others"] == 1
    kernels = [launch["kernel"] for launch in output["launches"]]
    assert kernels == ["store_sequences"] + ["seq_fft", "row_fft"] * 2


@pytest.mark.parametrize("options", [{"device": ONE_BY_ONE}, {"seed": 5}], ids=str)
def test_slices_and_order_do_not_matter(options: dict[str, Any]) -> None:
    packed = Packed(SEQUENCES, "bfloat16", NORM)
    packed.check(packed.run(**options))


def test_rows_between_and_beside_sequences_are_not_read() -> None:
    """They are NaN: other rows of a padded batch, or other columns."""
    packed = Packed(SEQUENCES, "float32", NORM, gap=3, pitch=HIDDEN + 8)
    packed.check(packed.run())


def test_in_place() -> None:
    packed = Packed([s for s in SEQUENCES if s[1] in WITH_KERNELS], "float32", NORM)
    output = packed.run(in_place=True)
    packed.check(output)


def test_other_sequences_do_not_change_a_result() -> None:
    packed = Packed(SEQUENCES, "float32", NORM)
    y = rows_of(packed.run()["y"], "float32", "y")
    for i in (0, 4):
        one = Packed(SEQUENCES[i : i + 1], "float32", NORM)
        one.x[:] = packed.rows[i]
        found = rows_of(one.run()["y"], "float32", "y")
        start = packed.starts[i]
        np.testing.assert_array_equal(found, y[start : start + len(found)])


def test_many_sequences_need_several_tables() -> None:
    """Kernel parameters hold 240 entries."""
    packed = Packed([(3 + i % 14, 16) for i in range(250)], "bfloat16", MIX)
    output = packed.run()
    assert (output["status"], errors(output)) == (OK, [])
    kernels = [launch["kernel"] for launch in output["launches"]]
    assert kernels.count("store_sequences") == 2
    for i in (0, 100, 239, 240, 249):
        length, start = packed.sequences[i][0], packed.starts[i]
        found = rows_of(output["y"], "bfloat16", "y")[start : start + length]
        np.testing.assert_array_equal(found, packed.alone(i)["y"])


def test_a_perturbed_sequence_is_found() -> None:
    packed = Packed([s for s in SEQUENCES if s[1] in WITH_KERNELS], "float32", MIX)
    output = packed.run()
    packed.check(output)
    y = output["y"].view(np.float32)
    y[17] = np.nextafter(y[17], 9)
    with pytest.raises(AssertionError, match="y of 0"):
        packed.check({**output, "y": y.view(np.uint8)})
