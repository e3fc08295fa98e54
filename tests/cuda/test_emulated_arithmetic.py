"""The arithmetic of emulated kernels: as exact as on a GPU, and not more."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from cuda_emulation import EmulationError
from cuda_emulation._build import compiler
from kernel_text import ORDERS, run

pytestmark = pytest.mark.skipif(shutil.which(compiler()[0]) is None, reason="needs a C++ compiler")


@pytest.fixture(params=ORDERS)
def order(request):
    return request.param


def evaluate(call, values, code="float"):
    out = np.array(values, dtype=np.float32 if code == "float" else np.float64)
    body = f"for (int i = lane(); i < n; i += 32) {{ const {code} v = a[i]; a[i] = {call}; }}"
    run(f"{code} *a, int n", body, out, np.int32(len(out)))
    return out


def test_ex2_is_off_as_the_hardware_may_be():
    x = np.random.default_rng(0).uniform(-120, 120, 100_000).astype(np.float32)
    exact = np.exp2(x.astype(np.float64))
    error = evaluate("ex2(v)", x) / exact - 1
    assert 2.0**-22.2 < np.abs(error).max() < 2.0**-22 + 2.0**-24
    assert abs(error.mean()) < 2.0**-28  # to both sides
    np.testing.assert_array_equal(evaluate("ex2(v)", x), evaluate("ex2(v)", x))
    special = evaluate("ex2(v)", [0, -0.0, -np.inf, np.inf, np.nan, 1e-40, -127, -126.5, -1e30, 200])
    np.testing.assert_array_equal(special, [1, 1, 0, np.inf, np.nan, 1, 0, 0, 0, np.inf])


def test_reciprocal_is_off_as_the_hardware_may_be():
    x = np.exp(np.random.default_rng(0).uniform(-80, 80, 100_000)).astype(np.float32)
    error = evaluate("reciprocal(v)", x) * x.astype(np.float64) - 1
    assert 2.0**-23.2 < np.abs(error).max() < 2.0**-23 + 2.0**-24
    special = evaluate("reciprocal(v)", [0, -0.0, np.inf, -np.inf, np.nan, 1e-40, 3e38])
    np.testing.assert_array_equal(special, [np.inf, -np.inf, 0, -0.0, np.nan, np.inf, 0])
    y = np.array([3.0, 7.0, 1e-310, 0])
    with np.errstate(divide="ignore", over="ignore"):
        np.testing.assert_array_equal(evaluate("reciprocal(v)", y, "double"), 1 / y)


def test_log2_is_off_as_the_hardware_may_be():
    x = np.random.default_rng(0).uniform(0.5, 2, 100_000).astype(np.float32)
    error = np.abs(evaluate("log2_(v)", x) - np.log2(x.astype(np.float64)))
    assert 2.0**-22.2 < error.max() < 2.0**-22 + 2.0**-24
    x = np.exp(np.random.default_rng(0).uniform(1, 80, 100_000)).astype(np.float32)
    error = np.abs(evaluate("log2_(v)", x) / np.log2(x.astype(np.float64)) - 1)
    assert 2.0**-22.2 < error.max() < 2.0**-22 + 2.0**-24
    np.testing.assert_array_equal(
        evaluate("log2_(v)", [0, np.inf, -1, np.nan]), [-np.inf, np.inf, np.nan, np.nan]
    )


MATRICES = """
float c[4], a[4], b[2];
const int g = lane() / 4, t = lane() % 4;
for (int q = 0; q < 4; ++q) c[q] = z[(g + q / 2 * 8) * 8 + 2 * t + q % 2];
for (int q = 0; q < 4; ++q) a[q] = x[(g + q % 2 * 8) * 8 + t + q / 2 * 4];
for (int q = 0; q < 2; ++q) b[q] = y[(t + 4 * q) * 8 + g];
add_products(c, a, b);
for (int q = 0; q < 4; ++q) z[(g + q / 2 * 8) * 8 + 2 * t + q % 2] = c[q];
"""


def eleven_bits(values):
    """The nearest numbers that tensor cores take."""
    bits = np.asarray(values, np.float32).view(np.int32) + 0x1000
    return (bits & ~0x1FFF).view(np.float32)


def test_products_of_matrices(order):
    rng = np.random.default_rng(0)
    x, y = (eleven_bits(rng.normal(size=shape)) for shape in ((16, 8), (8, 8)))
    z = rng.normal(size=(16, 8)).astype(np.float32)
    whole = z.copy()
    run("const float *x, const float *y, float *z", MATRICES, x, y, whole, order=order)
    terms = np.concatenate([z[:, :, None], x[:, None] * y.T[None]], axis=2).astype(float)
    # Off by what is cut off: not at all where all terms are small integers.
    error, largest = np.abs(whole - terms.sum(2)), np.abs(terms).max(2)
    assert (error <= 10 * 2.0**-23 * largest).all()
    assert error.max() > 2.0**-24
    integers = [rng.integers(-50, 50, size=a.shape).astype(np.float32) for a in (x, y, z)]
    expected = integers[2] + integers[0] @ integers[1]
    run("const float *x, const float *y, float *z", MATRICES, *integers, order=order)
    np.testing.assert_array_equal(integers[2], expected)


def test_sums_of_products_are_cut_off():
    one, z = np.eye(16, 8, dtype=np.float32), np.full((16, 8), 1 - 2.0**-24, np.float32)
    y = np.full((8, 8), 2.0**-24, np.float32)  # lost where another term is 1 or more
    run("const float *x, const float *y, float *z", MATRICES, one, y, z)
    np.testing.assert_array_equal(z[:8], np.float32(1))
    one, z = np.eye(16, 8, dtype=np.float32), np.full((16, 8), 1 + 2.0**-23, np.float32)
    run("const float *x, const float *y, float *z", MATRICES, one, y, z)
    np.testing.assert_array_equal(z[:8], np.float32(1 + 2.0**-23))


def test_products_of_numbers_with_too_many_bits():
    x, y, z = (
        np.full((16, 8), 1 + 2.0**-12, np.float32),
        np.ones((8, 8), np.float32),
        np.zeros((16, 8), np.float32),
    )
    with pytest.raises(EmulationError, match=r"add_products with 1\.00024414, which has more than 11 bits"):
        run("const float *x, const float *y, float *z", MATRICES, x, y, z)


@pytest.mark.parametrize("code", ["float", "double"])
def test_exact_functions(code):
    x = [0.1, -3.0, 1e-30, np.inf, 5e30]
    kind = np.float32 if code == "float" else np.float64
    x = np.array(x, kind)
    np.testing.assert_array_equal(evaluate("from_bits(as_bits(v))", x, code), x)
    np.testing.assert_array_equal(
        evaluate("from_bits(as_bits(v) + 1)", x[:3], code), np.nextafter(x, np.inf * x)[:3]
    )
    nan = f'({code})__builtin_nan("")'
    np.testing.assert_array_equal(evaluate(f"minimum(v, {nan})", x, code), x)
    np.testing.assert_array_equal(evaluate(f"maximum({nan}, v)", x, code), x)
    np.testing.assert_array_equal(
        evaluate(f"maximum(minimum(v, ({code})2), ({code})-1)", x, code), x.clip(-1, 2)
    )
    # One rounding: the product of 1 + eps and 1 - eps is 1 - eps^2.
    eps = np.finfo(kind).eps
    assert evaluate(f"fused(v, ({code})2 - v, ({code})-1)", [1 + eps], code)[0] == -(eps**2)
