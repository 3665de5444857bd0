"""Sequences of different lengths in the CUDA kernels: each bitwise as if it were alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from packed import HIDDEN, WITH_KERNELS, Packed, Padded, rows_of
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


def test_zeros_follow_the_sequences_of_a_padded_batch() -> None:
    packed = Packed(SEQUENCES, "bfloat16", NORM, gap=3, padded=True)
    output = packed.run()
    packed.check(output)
    kernels = [launch["kernel"] for launch in output["launches"]]
    assert kernels == ["clear_rows", "store_sequences"] + ["seq_fft", "row_fft"] * 2


@pytest.mark.parametrize("dtype", [*DTYPES, "float64"])
@pytest.mark.parametrize("hidden", [1, 13, 64])
def test_only_rows_past_a_length_are_cleared(hidden: int, dtype: str) -> None:
    """Rows begin anywhere in 16 bytes; lengths are 0, between, and full."""
    for lengths in ([3, 0, 5, 5, 1], [0, 0], [5], [4]):
        padded = Padded(lengths, 5, hidden, dtype)
        padded.check(padded.run())
        padded.check(padded.run(train=False))
    assert Padded([5, 5], 5, hidden, dtype).run()["launches"] == []


def test_many_and_long_ranges_are_cleared() -> None:
    for padded in (Padded([1] * 250, 2, 8, "bfloat16"), Padded([1, 40, 0], 40, 768, "float32")):
        output = padded.run()
        padded.check(output)
    (clear,) = output["launches"]
    assert clear["grid"][0] > 1
    wide = [a for a in clear["accesses"] if a["buffer"] == "y"]
    assert [a["width"] for a in wide] == [16]
    assert all(a["transactions"] == a["ideal"] for a in wide)


def test_a_perturbed_zero_is_found() -> None:
    padded = Padded([3, 1], 5, 13, "float32")
    for name, at in (("y", 4 * 13 * 4), ("y", 0), ("normalized", 9 * 13 * 4), ("rstd", 7 * 4)):
        output = padded.run()
        changed = np.array(output[name])
        changed[at] ^= 1
        with pytest.raises(AssertionError, match=name):
            padded.check({**output, name: changed})


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
