"""The FFT of the CPU kernels against its definition, in extended precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

core = pytest.importorskip("fnet_core_test", reason="not built: run `make core-test`")


def definition(z: np.ndarray, length: int) -> np.ndarray:
    """The DFT as a sum, in long double."""
    pi = np.longdouble("3.14159265358979323846264338327950288")
    j = np.arange(length)
    angle = 2 * pi * (np.outer(j, j) % length / np.longdouble(length))
    kernel = np.cos(angle) - 1j * np.sin(angle)
    return kernel @ z.astype(np.clongdouble)


@pytest.mark.parametrize("radix", core.radices())
@pytest.mark.parametrize(("run", "eps"), [(core.dft32, 2.0**-23), (core.dft64, 2.0**-52)])
def test_butterflies(radix: int, run: object, eps: float) -> None:
    rng = np.random.default_rng(radix)
    dtype = np.complex64 if run is core.dft32 else np.complex128
    for _ in range(20):
        z = (rng.standard_normal(radix) + 1j * rng.standard_normal(radix)).astype(dtype)
        expected = definition(z, radix)
        bound = 2 * eps * np.sqrt(radix) * np.abs(z).max()
        assert np.abs(run(radix, z) - expected).max() <= bound
        wrong = expected.copy()
        wrong[1] += 100 * bound
        assert np.abs(wrong - expected).max() > bound


#: Lengths of radices alone up to 200; all others up to 200, two primes (289, 323, 646), and
#: Bluestein (719).
SMOOTH = [n for n in range(1, 201) if core.factorise(n)]
OTHERS = [*(n for n in range(1, 201) if n not in SMOOTH), 289, 323, 646, 719]


@pytest.fixture(params=core.isas().split(","))
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    assert core.set_isa(request.param)
    yield request.param
    core.set_isa("auto")


def largest_and_typical(error: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """Largest and root mean square error, relative to the root mean square of `expected`."""
    size = np.sqrt(np.square(np.abs(expected)).mean())
    return float(np.abs(error).max() / size), float(np.sqrt(np.square(np.abs(error)).mean()) / size)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize(
    ("run", "dtype"), [(core.line_fft32, "complex64"), (core.line_fft64, "complex128")]
)
def test_whole_lines(run: Callable[[np.ndarray], np.ndarray], dtype: str) -> None:
    """A different line in each lane. A convolution has the roundings of two transforms."""
    width, eps = core.widths()[dtype == "complex128"], np.finfo(dtype).eps
    rng = np.random.default_rng(0)
    for length in SMOOTH + OTHERS:
        bounds = (6 * eps, 1.5 * eps) if length in SMOOTH else (8 * eps, 2.5 * eps)
        z = (rng.standard_normal((width, length, 2)) @ [1, 1j]).astype(dtype)
        expected = definition(z.T, length).T
        largest, typical = largest_and_typical(run(z) - expected, expected)
        assert largest <= bounds[0], length
        assert typical <= bounds[1], length
        if length > 2:
            wrong = expected.copy()
            wrong[-1, [1, -1]] = wrong[-1, [-1, 1]]
            assert largest_and_typical(run(z) - wrong, expected)[0] > bounds[0], length


def test_lines_of_other_shapes_are_rejected() -> None:
    width = core.widths()[0]
    for shape in ((width + 1, 8), (width, 65537)):
        with pytest.raises(ValueError, match="unsupported lines"):
            core.line_fft32(np.zeros(shape, np.complex64))


def test_an_unlisted_radix_is_rejected() -> None:
    with pytest.raises(ValueError, match="unsupported radix"):
        core.dft64(10, np.zeros(10, np.complex128))


@pytest.mark.parametrize("q", [1, 2, 3, 5, 7, 8, 12, 16, 31, 64, 97])
def test_constants(q: int) -> None:
    for p in range(-q, 2 * q):
        angle = 2 * np.longdouble("3.14159265358979323846264338327950288") * (p % q) / q
        assert abs(core.cos_turn(p, q) - np.cos(angle)) <= 2.0**-53
        assert abs(core.sin_turn(p, q) - np.sin(angle)) <= 2.0**-53


@pytest.mark.parametrize("q", [1, 2, 3, 8, 49, 512, 768, 1000, 4096, 8191])
def test_twiddles_are_rounded_once(q: int) -> None:
    p = np.arange(q)
    angle = 2 * np.longdouble("3.14159265358979323846264338327950288") * p / q
    expected = np.cos(angle) - 1j * np.sin(angle)
    for run, half_ulp in ((core.root32, 2.0**-25), (core.root64, 2.0**-54)):
        error = np.array([run(int(i), q) for i in p]) - expected
        assert max(np.abs(error.real).max(), np.abs(error.imag).max()) <= half_ulp * 1.01


def test_factorise() -> None:
    radices = set(core.radices())
    primes = [r for r in radices if all(r % p for p in range(2, r))]
    assert {2, 3, 5} <= set(primes)
    assert all((core.stage_cost(r) > 0) == (r in radices) for r in range(2, max(radices) + 1))
    for n in range(2, 3000):
        found = core.factorise(n)
        rest = n
        for prime in primes:
            while rest % prime == 0:
                rest //= prime
        if rest > 1:
            assert found == []
        else:
            assert np.prod(found) == n
            assert set(found) <= radices
            assert found == sorted(found)
    assert core.factorise(1) == [1]
    assert core.factorise(0) == []


def test_mirror() -> None:
    for length in (1, 2, 7, 8):
        assert [core.mirror(n, length) for n in range(length)] == [
            -n % length for n in range(length)
        ]
        assert core.half_length(length) == len({min(n, -n % length) for n in range(length)})
