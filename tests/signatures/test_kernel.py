"""The signature kernel of arrays: against its definitions, closed forms, shapes, bad input."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_oracle import goursat, increments, truncated, truncated_from
from scipy.special import iv

from sktime_sdtw.signatures import (
    _kernel_arguments,
    _kernel_numpy,
    signature,
    signature_kernel,
    signature_kernel_gram,
    signature_mmd,
    signature_score,
)

TOLERANCE = {np.float32: 3e-6, np.float64: 1e-12}


def paths(*shape, seed=0, scale=0.4, dtype=np.float64):
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(dtype)


def close(values, expected, dtype):
    expected = np.asarray(expected)
    assert np.abs(values - expected).max() <= TOLERANCE[dtype] * np.abs(expected).max()


@settings(max_examples=60, deadline=None)
@given(
    pairs=st.integers(1, 35),
    shape=st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 5)),
    refinement=st.sampled_from([(0, 0), (1, 1), (0, 2), (3, 1), (4, 0)]),
    static=st.sampled_from(["linear", "rbf"]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_against_the_scheme(pairs, shape, refinement, static, dtype):
    n, m, d = shape
    x, y = paths(pairs, n, d, dtype=dtype), paths(pairs, m, d, seed=1, dtype=dtype)
    values = signature_kernel(x, y, refinement=refinement, static_kernel=static, sigma=1.3)
    assert values.dtype == dtype
    assert values.shape == (pairs,)
    chosen = sorted({0, pairs // 2, pairs - 1})
    close(values[chosen], [goursat(increments(x[i], y[i], static, 1.3), refinement) for i in chosen], dtype)


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(1, 3)),
    depth=st.integers(1, 6),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_truncated_against_signatures(shape, depth, dtype):
    n, m, d = shape
    x, y = paths(3, n, d, dtype=dtype), paths(3, m, d, seed=1, dtype=dtype)
    values = signature_kernel(x, y, depth=depth, sigma=0.8)
    expected = [truncated(a, b, depth, 0.8) for a, b in zip(x, y, strict=True)]
    close(values, expected, dtype)
    # That took the signatures or the recursion, whichever is shorter; this is the recursion.
    chosen = _kernel_arguments.settings_of("linear", 0.8, 0, depth)
    close(_kernel_numpy.kernel(x, y, None, None, True, chosen, None), expected, dtype)


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_truncated_with_a_static_kernel(depth, dtype):
    x, y = paths(2, 5, 2, dtype=dtype), paths(2, 4, 2, seed=1, dtype=dtype)
    expected = [truncated_from(increments(a, b, "rbf", 0.7), depth) for a, b in zip(x, y, strict=True)]
    close(signature_kernel(x, y, depth=depth, static_kernel="rbf", sigma=0.7), expected, dtype)


def test_the_oracles_agree():
    x, y = paths(4, 2), paths(3, 2, seed=1)
    assert truncated_from(increments(x, y), 4) == pytest.approx(truncated(x, y, 4), rel=1e-13)


def test_lines_have_the_kernel_of_bessel():
    # The kernel of two straight lines is Σ ⟨a, b⟩^k / k!², however they are cut.
    a, b = np.array([0.7, -1.1, 0.4]), np.array([0.9, 0.3, 1.6])
    product = a @ b
    expected = iv(0, 2 * product**0.5)
    x, y = np.linspace(0, 1, 9)[:, None] * a, np.linspace(0, 1, 5)[:, None] ** 2 * b
    assert signature_kernel(x, y, depth=20) == pytest.approx(expected, rel=1e-14)
    errors = [abs(signature_kernel(x, y, refinement=r) - expected) for r in range(7)]
    assert errors[-1] < 1e-6 * expected
    for coarse, fine in itertools.pairwise(errors[2:]):
        assert coarse / fine == pytest.approx(4, rel=0.1)


def test_refinement_converges_to_deep_signatures():
    x, y = paths(5, 12, 3, scale=0.3), paths(5, 9, 3, seed=1, scale=0.3)
    expected = signature_kernel(x, y, depth=16)
    errors = [np.abs(signature_kernel(x, y, refinement=r) - expected).max() for r in range(6)]
    assert errors[-1] < 1e-4
    assert errors[3] / errors[5] == pytest.approx(16, rel=0.15)
    inner = (signature(x, 8) * signature(y, 8)).sum(-1) + 1
    np.testing.assert_allclose(signature_kernel(x, y, depth=8), inner, rtol=1e-12)


@pytest.mark.parametrize("params", [{}, {"refinement": 2}, {"static_kernel": "rbf"}, {"depth": 3}], ids=str)
def test_gram_holds_the_pairs(params):
    X, Y = paths(37, 9, 2), paths(21, 7, 2, seed=1)
    pairs = np.array([signature_kernel(np.repeat(x[None], 21, 0), Y, **params) for x in X])
    gram = signature_kernel_gram(X, Y, **params)
    if "depth" in params:  # a product of matrices of signatures
        np.testing.assert_allclose(gram, pairs, rtol=1e-12, atol=1e-13)
    else:
        np.testing.assert_array_equal(gram, pairs)
    np.testing.assert_array_equal(signature_kernel_gram(X, Y, n_jobs=2, **params), gram)
    own = signature_kernel_gram(X, **params)
    np.testing.assert_allclose(own, signature_kernel_gram(X, X, **params), rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(own, own.T)


def test_gram_of_several_sets_and_two_refinements():
    X, Y = paths(2, 3, 4, 6, 2), paths(2, 3, 5, 7, 2, seed=1)
    gram = signature_kernel_gram(X, Y, refinement=(1, 2))
    assert gram.shape == (2, 3, 4, 5)
    np.testing.assert_array_equal(gram[1, 2], signature_kernel_gram(X[1, 2], Y[1, 2], refinement=(1, 2)))
    own = signature_kernel_gram(X, refinement=(1, 2))
    np.testing.assert_array_equal(own, signature_kernel_gram(X, X, refinement=(1, 2)))


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.tuples(st.integers(1, 12), st.integers(1, 9)), min_size=1, max_size=40),
    params=st.sampled_from([{}, {"refinement": (1, 2)}, {"static_kernel": "rbf"}, {"depth": 3}]),
)
def test_lengths(lengths, params):
    nx, ny = np.array(lengths).T
    x, y = paths(len(nx), 12, 2), paths(len(ny), 9, 2, seed=1)
    for v, n in ((x, nx), (y, ny)):
        v[np.arange(v.shape[1]) >= n[:, None]] = np.nan  # what is behind the end is not looked at
    expected = [signature_kernel(a[:i], b[:j], **params) for a, b, i, j in zip(x, y, nx, ny, strict=True)]
    found = signature_kernel(x, y, x_lengths=nx, y_lengths=ny, **params)
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    gram = signature_kernel_gram(x, y, x_lengths=nx, y_lengths=ny, **params)
    np.testing.assert_allclose(np.diagonal(gram), expected, rtol=1e-14)
    own = signature_kernel_gram(x, x_lengths=nx, **params)
    np.testing.assert_allclose(
        own, signature_kernel_gram(x, x, x_lengths=nx, y_lengths=nx, **params), rtol=1e-13
    )


@pytest.mark.parametrize("refinement", [0, (2, 1), (0, 4), (5, 0)], ids=str)
@pytest.mark.parametrize("static", ["linear", "rbf", "precomputed"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_pair_alone_is_computed_as_among_many(refinement, static, dtype):
    # Alone, a pair is cut into strips of rows, which are the lanes of a wave.
    for n, m in ((140, 60), (60, 300), (23, 17)):
        x, y = paths(1, n, 2, scale=n**-0.5, dtype=dtype), paths(1, m, 2, seed=1, scale=m**-0.5, dtype=dtype)
        pair = (x, y)
        if static == "precomputed":
            pair = (np.einsum("bik,bjk->bij", np.diff(x, axis=1), np.diff(y, axis=1)),)
        many = [np.repeat(v, 33, axis=0) for v in pair]
        alone = signature_kernel(*pair, refinement=refinement, static_kernel=static)
        found = signature_kernel(*many, refinement=refinement, static_kernel=static)
        np.testing.assert_array_equal(found, np.repeat(alone, 33))
        two = signature_kernel(*(v[:2] for v in many), refinement=refinement, static_kernel=static, n_jobs=2)
        np.testing.assert_array_equal(two, found[:2])


def test_precomputed_increments():
    x, y = paths(3, 6, 2), paths(3, 5, 2, seed=1)
    g = np.array([increments(a, b) for a, b in zip(x, y, strict=True)])
    for params in ({"refinement": (2, 1)}, {"depth": 4}):
        found = signature_kernel(g, static_kernel="precomputed", **params)
        np.testing.assert_allclose(found, signature_kernel(x, y, **params), rtol=1e-13)


def test_gram_matrices_are_positive():
    X = np.cumsum(paths(40, 15, 3, scale=0.3), axis=1)
    for params in ({"refinement": 3}, {"static_kernel": "rbf", "refinement": 3}, {"depth": 4}):
        gram = signature_kernel_gram(X, normalize=True, **params)
        np.testing.assert_allclose(np.diagonal(gram), 1, rtol=1e-14)
        np.testing.assert_array_equal(gram, gram.T)
        assert np.linalg.eigvalsh(gram).min() > -1e-5


def test_normalize():
    x, y = paths(3, 6, 2), paths(3, 5, 2, seed=1)
    k = signature_kernel(x, y, refinement=(1, 2))
    own = signature_kernel(x, x, refinement=1), signature_kernel(y, y, refinement=2)
    expected = k / np.sqrt(own[0] * own[1])
    np.testing.assert_allclose(
        signature_kernel(x, y, refinement=(1, 2), normalize=True), expected, rtol=1e-14
    )
    gram = signature_kernel_gram(x, y, refinement=(1, 2), normalize=True)
    np.testing.assert_allclose(np.diagonal(gram), expected, rtol=1e-14)


def test_long_float32_paths_keep_their_digits():
    x = np.cumsum(paths(2, 2000, 2, scale=2000**-0.5), axis=1).astype(np.float32)
    expected = signature_kernel_gram(x.astype(np.float64))
    size = np.sqrt(np.diagonal(expected)[:, None] * np.diagonal(expected))
    assert (np.abs(signature_kernel_gram(x) - expected) / size).max() < 1e-5


def test_mmd_and_score():
    X, Y = paths(6, 8, 2), paths(4, 7, 2, seed=1)
    xx, yy, xy = signature_kernel_gram(X), signature_kernel_gram(Y), signature_kernel_gram(X, Y)
    biased = xx.mean() + yy.mean() - 2 * xy.mean()
    assert signature_mmd(X, Y, unbiased=False) == pytest.approx(biased, rel=1e-12)
    assert signature_mmd(X, X, unbiased=False) == pytest.approx(0, abs=1e-12)
    apart_x, apart_y = (k[~np.eye(len(k), dtype=bool)].mean() for k in (xx, yy))
    assert signature_mmd(X, Y) == pytest.approx(apart_x + apart_y - 2 * xy.mean(), rel=1e-12)
    np.testing.assert_allclose(signature_score(X, Y), apart_x - 2 * xy.mean(0), rtol=1e-12)
    nx, ny = np.array([8, 2, 3, 8, 5, 4]), np.array([7, 3, 3, 2])
    found = signature_mmd(X, Y, x_lengths=nx, y_lengths=ny, depth=2)
    for v, n in ((X, nx), (Y, ny)):
        for path, length in zip(v, n, strict=True):
            path[length:] = path[length - 1]
    assert found == pytest.approx(signature_mmd(X, Y, depth=2), rel=1e-12)


def test_shapes():
    assert signature_kernel(paths(5, 2), paths(4, 2)).shape == ()
    assert signature_kernel(paths(2, 3, 5, 2), paths(2, 3, 4, 2)).shape == (2, 3)
    assert signature_kernel(paths(0, 5, 2), paths(0, 4, 2)).shape == (0,)
    assert signature_kernel_gram(paths(0, 5, 2), paths(3, 4, 2)).shape == (0, 3)
    assert signature_kernel(paths(1, 2), paths(4, 2)) == 1
    half = signature_kernel(paths(5, 2, dtype=np.float16), paths(4, 2, dtype=np.float16))
    assert half.dtype == np.float16


@pytest.mark.parametrize("isa", ["v2", "v3", "v4"])
def test_instruction_sets_agree(run_python, isa):
    code = """
import sys
import numpy as np
from sktime_sdtw import _core
from sktime_sdtw.signatures import signature_kernel_gram
X = np.random.default_rng(0).normal(size=(20, 30, 3)) * 0.3
for params in ({}, {"refinement": 2}, {"static_kernel": "rbf"}, {"depth": 3}):
    sys.stdout.buffer.write(signature_kernel_gram(X, **params).tobytes())
"""
    X = np.random.default_rng(0).normal(size=(20, 30, 3)) * 0.3
    found = np.frombuffer(run_python(code, SKTIME_SDTW_ISA=isa)).reshape(4, 20, 20)
    for gram, params in zip(
        found, ({}, {"refinement": 2}, {"static_kernel": "rbf"}, {"depth": 3}), strict=True
    ):
        np.testing.assert_allclose(gram, signature_kernel_gram(X, **params), rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: signature_kernel(x), TypeError, "y is required"),
        (lambda x: signature_kernel(x, x[:1]), ValueError, "x and y must hold as many paths"),
        (
            lambda x: signature_kernel(x, x[..., :1]),
            ValueError,
            "x and y must have the same number of channels",
        ),
        (lambda x: signature_kernel(x, x.astype(np.float32)), ValueError, "the same dtype"),
        (lambda x: signature_kernel(x.astype(int), x), ValueError, "x must hold floating numbers"),
        (lambda x: signature_kernel(x[0, 0], x), ValueError, "x must have the shape"),
        (lambda x: signature_kernel_gram(x[0]), ValueError, "X must have the shape"),
        (lambda x: signature_kernel_gram(x, x * np.nan), ValueError, "Y contains NaN"),
        (lambda x: signature_kernel(x, x * np.inf), ValueError, "y contains NaN or inf"),
        (lambda x: signature_kernel(x, x, sigma=0), ValueError, "sigma must be"),
        (lambda x: signature_kernel(x, x, depth=0), ValueError, "depth must be"),
        (lambda x: signature_kernel(x, x, depth=33), ValueError, "depth must be at most"),
        (lambda x: signature_kernel(x, x, depth=2, refinement=1), ValueError, "refinement must be 0"),
        (lambda x: signature_kernel(x, x, refinement=1.0), TypeError, "refinement must be an int"),
        (lambda x: signature_kernel(x, x, refinement=(1, 2, 3)), ValueError, "refinement must be one int"),
        (lambda x: signature_kernel(x, x, refinement=-1), ValueError, "refinement must lie"),
        (lambda x: signature_kernel(x, x, static_kernel="cubic"), ValueError, "static_kernel must be one of"),
        (lambda x: signature_kernel(x, x, static_kernel="precomputed"), ValueError, "y, x_lengths and"),
        (lambda x: signature_kernel(x, static_kernel="precomputed", sigma=2.0), ValueError, "normalize and"),
        (lambda x: signature_kernel_gram(x, static_kernel="precomputed"), ValueError, "static_kernel="),
        (lambda x: signature_kernel(x, x, x_lengths=[0, 1, 2]), ValueError, "x_lengths must lie"),
        (lambda x: signature_kernel(x, x, y_lengths=[1.0, 1, 2]), TypeError, "y_lengths must be integers"),
        (lambda x: signature_kernel_gram(x, y_lengths=[1, 1, 2]), ValueError, "y_lengths must be None"),
        (lambda x: signature_kernel(x * 1e9, x * 1e9), ValueError, "larger sigma"),
        (lambda x: signature_mmd(x[:1], x), ValueError, "X must have at least two"),
        (lambda x: signature_mmd(x[:0], x, unbiased=False), ValueError, "X must have at least one"),
        (lambda x: signature_kernel(x, x, n_jobs=0), ValueError, "n_jobs"),
    ],
)
def test_bad_input(call, error, message):
    x = np.cumsum(paths(3, 40, 2), axis=1)
    with pytest.raises(error, match=message):
        call(x)
