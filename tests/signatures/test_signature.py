"""Signatures against their definition, and the identities that hold for all paths."""

from __future__ import annotations

import numpy as np
import pytest
import signature_oracle as oracle
from hypothesis import given, settings
from hypothesis import strategies as st

from sktime_sdtw.signatures import (
    all_words,
    extract_signature_term,
    extract_words,
    multi_signature_combine,
    signature,
    signature_channels,
    signature_combine,
)

TOLERANCE = {np.float64: 1e-12, np.float32: 1e-5}
# (batch, length, channels, depth): one path and many, few words and many, chunks of long streams.
SHAPES = [
    (3, 7, 2, 4),
    (1, 5, 3, 3),
    (20, 30, 4, 4),
    (2, 200, 2, 3),
    (1, 700, 3, 4),
    (2, 9, 5, 2),
    (1, 12, 8, 4),
    (1, 4, 1, 5),
    (2, 6, 20, 2),
    (1, 2, 2, 1),
    (2, 300, 3, 1),
    (1, 5, 2, 11),
    (7, 6, 6, 3),
]


def walks(shape, seed=0, dtype=np.float64):
    return (np.random.default_rng(seed).normal(size=shape) * 0.3).astype(dtype)


def check(found, expected, dtype=np.float64):
    np.testing.assert_allclose(
        found, expected, rtol=0, atol=TOLERANCE[dtype] * np.abs(expected).max(initial=1.0)
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_definition(shape, dtype):
    *size, depth = shape
    x = walks(size, dtype=dtype)
    expected = np.stack([oracle.signatures(path, depth) for path in x])
    stream = signature(x, depth, stream=True)
    assert stream.dtype == dtype
    check(stream, expected, dtype)
    check(signature(x, depth), expected[:, -1], dtype)
    check(signature(x, depth, n_jobs=2), signature(x, depth), dtype)


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(1, 20),
    length=st.integers(1, 40),
    channels=st.integers(1, 6),
    depth=st.integers(1, 4),
    inverse=st.booleans(),
    initial=st.booleans(),
    scalar=st.booleans(),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 2**31),
)
def test_all_arguments(batch, length, channels, depth, inverse, initial, scalar, dtype, seed):
    rng = np.random.default_rng(seed)
    x, base = walks((batch, length, channels), seed, dtype), walks((batch, channels), seed + 1, dtype)
    words = signature_channels(channels, depth)
    start = rng.normal(size=(batch, words)).astype(dtype) if initial else None
    given_start = np.insert(start, 0, 1, axis=1) if initial and scalar else start
    tolerance = 1e-4 if dtype == np.float32 else 1e-9
    found = signature(x, depth, True, base, inverse, given_start, scalar)
    last = signature(x, depth, False, base, inverse, given_start, scalar)
    assert found.shape == (batch, length, words + scalar)
    assert found.dtype == dtype
    np.testing.assert_allclose(last, found[:, -1], rtol=0, atol=tolerance * max(1, np.abs(last).max()))
    if scalar:
        assert (found[..., 0] == 1).all()
        found = found[..., 1:]
    for i in range(batch):
        rows = oracle.signatures(np.concatenate([base[i : i + 1], x[i]]), depth)
        for row, expected in zip(found[i], rows, strict=True):
            if inverse:
                expected = oracle.inverse(expected, channels, depth)
            if initial:
                pair = (expected, start[i]) if inverse else (start[i], expected)
                expected = oracle.product(*pair, channels, depth)
            np.testing.assert_allclose(row, expected, rtol=0, atol=tolerance * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("batch", [1, 3, 40])
def test_long_streams_go_on_from_an_initial_signature(batch):
    x, start = walks((batch, 301, 3)) * 0.3, walks((batch, 39), seed=1)
    lengths = np.linspace(300, 301, batch).astype(int)
    found = signature(x, 3, True, basepoint=x[:, 0], initial=start, lengths=lengths)
    check(found[:, 0], start)
    for i in {0, batch - 1}:
        check(found[i, 1 : lengths[i]], oracle.signatures(x[i, : lengths[i]], 3, initial=start[i]))
    check(signature(x, 3, basepoint=x[:, 0], initial=start, lengths=lengths), found[:, -1])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_results_that_caches_do_not_hold(dtype):
    # Written in another way; three paths at a time are below that.
    x = walks((40, 300, 3), dtype=dtype)
    lengths = np.linspace(2, 300, 40).astype(int)
    found = signature(x, 5, stream=True, lengths=lengths)
    assert found.nbytes > 16 * 2**20
    for i in range(0, 40, 3):
        check(found[i : i + 3], signature(x[i : i + 3], 5, stream=True, lengths=lengths[i : i + 3]), dtype)
    line = walks((2, 8000, 3), dtype=dtype)
    windows = signature(line, 5, windows=("sliding", 50))
    assert windows.nbytes > 16 * 2**20
    for i in (0, 1, 48, 49, 50, 51, 4321, 7949, 7950):
        check(windows[:, i], signature(line[:, i : i + 50], 5), dtype)


@pytest.mark.parametrize("leading", [(), (0,), (3,), (2, 3), (2, 0, 3)])
@pytest.mark.parametrize("stream", [False, True])
def test_leading_dimensions(leading, stream):
    x = walks((*leading, 6, 2))
    found = signature(x, 3, stream=stream)
    assert found.shape == (*leading, 5, 14) if stream else (*leading, 14)
    for i in np.ndindex(*leading):
        check(found[i], signature(x[i], 3, stream=stream))


def test_basepoint_true_is_the_origin():
    x = walks((4, 6, 3))
    check(signature(x, 3, basepoint=True), signature(x, 3, basepoint=np.zeros((4, 3))))
    check(signature(x, 3, basepoint=True)[:, :3], x[:, -1])


def test_one_point_with_basepoint_is_a_straight_line():
    x = walks((2, 1, 3))
    for row, z in zip(signature(x, 4, basepoint=True), x[:, 0], strict=True):
        check(row, oracle.flat(oracle.exponential(z, 4)))


def test_translation():
    x = walks((2, 8, 3))
    check(signature(x + 5.0, 4), signature(x, 4))
    assert np.abs(signature(x + 5.0, 4, basepoint=True) - signature(x, 4, basepoint=True)).max() > 1


def test_reparameterisation():
    x = walks((1, 6, 3))
    finer = np.concatenate([x[:, :-1], (x[:, :-1] + x[:, 1:]) / 2], axis=2).reshape(1, -1, 3)
    check(signature(np.concatenate([finer, x[:, -1:]], axis=1), 4), signature(x, 4))
    check(signature(np.repeat(x, 3, axis=1), 4), signature(x, 4))


def test_reversed_path_is_the_inverse():
    x = walks((5, 9, 3))
    check(signature(x[:, ::-1], 4), signature(x, 4, inverse=True))
    both = signature_combine(signature(x, 4), signature(x, 4, inverse=True), 3, 4)
    check(both, np.zeros_like(both))


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(1, 18),
    length=st.integers(2, 80),
    channels=st.integers(1, 5),
    depth=st.integers(1, 5),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 2**31),
)
def test_identities(batch, length, channels, depth, dtype, seed):
    """Chen's, of the reversed path, and of one that is run through with stops and in other steps."""
    rng = np.random.default_rng(seed)
    x = walks((batch, length, channels), seed, dtype)
    whole, cut = signature(x, depth), int(rng.integers(1, length)) if length > 2 else None
    tolerance = {"rtol": 0, "atol": (1e-4 if dtype == np.float32 else 1e-10) * max(1, np.abs(whole).max())}
    if cut is not None and cut < length - 1:
        joined = signature_combine(
            signature(x[:, : cut + 1], depth), signature(x[:, cut:], depth), channels, depth
        )
        np.testing.assert_allclose(joined, whole, **tolerance)
    np.testing.assert_allclose(signature(x[:, ::-1], depth), signature(x, depth, inverse=True), **tolerance)
    where = np.sort(
        np.concatenate([np.arange(length), rng.uniform(0, length - 1, 5), rng.integers(0, length, 3)])
    )
    before = np.minimum(where.astype(int), length - 2)
    share = (where - before)[:, None].astype(dtype)
    other = (1 - share) * x[:, before] + share * x[:, before + 1]
    np.testing.assert_allclose(signature(other, depth), whole, **tolerance)


def test_online():
    x, y = walks((5, 9, 3)), walks((5, 4, 3), seed=1)
    whole = signature(np.concatenate([x, y], axis=1), 4)
    check(signature(y, 4, basepoint=x[:, -1], initial=signature(x, 4)), whole)
    backward = signature(y, 4, basepoint=x[:, -1], initial=signature(x, 4, inverse=True), inverse=True)
    check(backward, signature(np.concatenate([x, y], axis=1), 4, inverse=True))


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("scalar", [False, True])
def test_combine(inverse, scalar):
    x = walks((6, 13, 3))
    parts = [signature(x[:, i : i + 4], 4, inverse=inverse, scalar_term=scalar) for i in (0, 3, 6, 9)]
    whole = signature(x, 4, inverse=inverse, scalar_term=scalar)
    check(multi_signature_combine(parts, 3, 4, inverse, scalar), whole)
    left = signature_combine(parts[0], parts[1], 3, 4, inverse, scalar)
    check(left, signature(x[:, :7], 4, inverse=inverse, scalar_term=scalar))


def test_combine_takes_streams_and_any_leading_dimensions():
    a, b = walks((2, 5, 3, 14)), walks((2, 5, 3, 14), seed=1)
    found = signature_combine(a, b, 2, 3)
    for i in np.ndindex(2, 5, 3):
        check(found[i], oracle.product(a[i], b[i], 2, 3))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31))
def test_shuffle_identity(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(7, 3))
    number = {tuple(word): value for word, value in zip(all_words(3, 4), signature(x, 4), strict=True)}
    u, v = list(rng.integers(0, 3, 2)), list(rng.integers(0, 3, 2))
    total = sum(number[tuple(word)] for word in oracle.shuffles(u, v))
    np.testing.assert_allclose(number[tuple(u)] * number[tuple(v)], total, rtol=1e-9, atol=1e-9)


def test_lengths():
    x = walks((6, 200, 3))
    lengths = np.array([2, 200, 17, 64, 65, 3])
    found = signature(x, 4, lengths=lengths)
    stream = signature(x, 4, stream=True, lengths=lengths)
    for row, rows, path, n in zip(found, stream, x, lengths, strict=True):
        check(row, signature(path[:n], 4))
        check(rows[: n - 1], signature(path[:n], 4, stream=True))
        check(rows[n - 1 :], np.broadcast_to(row, rows[n - 1 :].shape))
    based = signature(x, 4, basepoint=True, lengths=np.array([1, 200, 17, 64, 65, 3]))
    check(based[0], signature(x[0, :1], 4, basepoint=True))


def test_points_after_the_end_do_not_matter():
    x = walks((3, 20, 2))
    lengths = np.array([5, 20, 9])
    expected = signature(x, 3, lengths=lengths)
    x[0, 5:], x[2, 9:] = np.nan, np.inf
    check(signature(x, 3, lengths=lengths), expected)
    check(signature(x, 3, lengths=lengths, nan_policy="raise"), expected)


def test_nan_policies():
    x = walks((2, 8, 2))
    x[0, 3, 1] = x[0, 4] = x[1, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        signature(x, 3, nan_policy="raise")
    assert np.isnan(signature(x, 3)).any()
    filled = x.copy()
    filled[0, 3, 1], filled[0, 4, 0], filled[0, 4, 1] = x[0, 2, 1], x[0, 3, 0], x[0, 2, 1]
    filled[1, 0] = x[1, 1]
    check(signature(x, 3, nan_policy="ffill"), signature(filled, 3))
    skipped = signature(x, 3, nan_policy="skip")
    check(skipped[0], signature(x[0, [0, 1, 2, 5, 6, 7]], 3))
    check(skipped[1], signature(x[1, 1:], 3))
    with pytest.raises(ValueError, match="without any number"):
        signature(np.full((1, 4, 2), np.nan), 2, nan_policy="ffill")


def test_masked_numbers_are_missing():
    x = walks((2, 8, 2))
    x[0, 3, 1] = np.nan
    masked = np.ma.masked_invalid(x)
    masked.data[0, 3, 1] = 7.0
    assert np.isnan(signature(masked, 2)[0]).any()
    check(signature(masked, 2, nan_policy="skip"), signature(x, 2, nan_policy="skip"))


def test_float16_is_computed_in_float32():
    x = walks((3, 50, 3)).astype(np.float16)
    found = signature(x, 3)
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, signature(x.astype(np.float32), 3).astype(np.float16))


def test_memory_layouts_and_inputs_are_kept():
    x = walks((9, 4, 6))
    copy = x.copy()
    check(signature(x.transpose(1, 0, 2), 3), signature(np.ascontiguousarray(x.transpose(1, 0, 2)), 3))
    check(signature(x[:, ::2, ::3], 3), signature(x[:, ::2, ::3].copy(), 3))
    np.testing.assert_array_equal(x, copy)


def test_extract_signature_term():
    x = walks((3, 6, 3))
    found = signature(x, 4, stream=True, scalar_term=True)
    assert extract_signature_term(found, 3, 2, scalar_term=True).shape == (3, 5, 9)
    check(extract_signature_term(found, 3, 2, scalar_term=True), found[..., 4:13])


@pytest.mark.parametrize("scalar", [False, True])
def test_extract_words(scalar):
    x = walks((2, 6, 3))
    found = signature(x, 3, scalar_term=scalar)
    words = all_words(3, 3)
    chosen = [4, 0, 20, 38, 4]
    some = extract_words(found, [words[i] for i in chosen], 3, scalar_term=scalar)
    check(some, signature(x, 3)[:, chosen])
    assert extract_words(found, [], 3, scalar_term=scalar).shape == (2, 0)
    for bad in ([(3,)], [()], [(0, 0, 0, 0)], [(-1,)]):
        with pytest.raises(ValueError):
            extract_words(found, bad, 3, scalar_term=scalar)


@pytest.mark.parametrize(("batch", "parts"), [(1, 32), (33, 1)])
def test_error_bound_of_float32_over_100000_steps(batch, parts):
    # The bound that the guide states: by the signature of the path whose steps are all made positive.
    steps, depth = 100_000, 4
    rng = np.random.default_rng(0)
    x = np.cumsum(rng.normal(size=(batch, steps + 1, 2)) / steps**0.5, axis=1, dtype=np.float32)
    expected = signature(x.astype(np.float64), depth)
    up = np.cumsum(np.abs(np.diff(x.astype(np.float64), axis=1, prepend=0)), axis=1)
    roundings = steps / parts + 4 * depth * (1 + np.log2(parts))
    error = np.abs(signature(x, depth) - expected)
    assert (error <= roundings * 2.0**-24 * signature(up, depth)).all()
    assert error.max() < 2e-5 * np.abs(expected).max()  # roundings of both signs: far less


def test_gradient_of_float32_over_100000_steps():
    torch = pytest.importorskip("torch")
    x = np.cumsum(np.random.default_rng(0).normal(size=(1, 100_001, 2)) / 316, axis=1, dtype=np.float32)
    grads = []
    for dtype in (torch.float32, torch.float64):
        leaf = torch.from_numpy(x).to(dtype).requires_grad_()
        signature(leaf, 4).square().sum().backward()
        grads.append(leaf.grad.double())
    assert (grads[0] - grads[1]).abs().max() < 2e-5 * grads[1].abs().max()


@pytest.mark.parametrize("isa", ["v2", "v3"])
def test_other_instruction_sets(isa, run_python):
    code = """
import numpy as np, sys
import sktime_sdtw._core as core
from sktime_sdtw.signatures import signature
for dtype in (np.float32, np.float64):
    for shape, depth in (((20, 30, 4), 4), ((1, 700, 3), 4), ((1, 12, 8), 4), ((3, 5, 2), 7)):
        x = (np.random.default_rng(0).normal(size=shape) * 0.3).astype(dtype)
        np.save(sys.stdout.buffer, signature(x, depth))
"""
    import io

    plain, other = io.BytesIO(run_python(code)), io.BytesIO(run_python(code, SKTIME_SDTW_ISA=isa))
    for _ in range(8):
        a, b = np.load(plain), np.load(other)
        check(b, a, a.dtype.type)


# --- errors


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"path": np.zeros(5)}, ValueError, "shape"),
        ({"path": np.zeros((2, 1, 3))}, ValueError, "at least two points"),
        ({"path": np.zeros((2, 0, 3)), "basepoint": True}, ValueError, "at least one point beside"),
        ({"path": np.zeros((2, 4, 0))}, ValueError, "channel"),
        ({"path": np.zeros((2, 4, 3), dtype=int)}, ValueError, "floating"),
        ({"depth": 0}, ValueError, "depth"),
        ({"depth": 2.0}, TypeError, "depth"),
        ({"depth": True}, TypeError, "depth"),
        ({"depth": 65}, ValueError, "depth"),
        ({"basepoint": [0.0, 0.0, 0.0]}, TypeError, "basepoint"),
        ({"basepoint": np.zeros((2, 4))}, ValueError, "basepoint"),
        ({"basepoint": np.zeros((2, 3), dtype=np.float32)}, ValueError, "dtype"),
        ({"basepoint": True, "initial": np.zeros((2, 5))}, ValueError, "initial"),
        ({"basepoint": True, "initial": np.zeros((2, 12)), "scalar_term": True}, ValueError, "initial"),
        ({"lengths": np.array([1, 4])}, ValueError, "lengths"),
        ({"lengths": np.array([2, 5])}, ValueError, "lengths"),
        ({"lengths": np.array([2.0, 4.0])}, TypeError, "lengths"),
        ({"lengths": np.array([2])}, ValueError, "lengths"),
        ({"nan_policy": "drop"}, ValueError, "nan_policy"),
    ],
)
def test_errors(arguments, error, message):
    with pytest.raises(error, match=message):
        signature(**{"path": np.zeros((2, 4, 3)), "depth": 2, **arguments})


def test_lengths_of_no_paths():
    assert signature(np.zeros((0, 4, 3)), 2, lengths=[]).shape == (0, 12)


def test_initial_without_basepoint_warns():
    with pytest.warns(UserWarning, match="basepoint"):
        signature(np.zeros((2, 4, 3)), 2, initial=np.zeros((2, 12)))


def test_combine_errors():
    a = np.zeros((2, 12))
    for parts in ([], a, [a, np.zeros((3, 12))], [a, a.astype(np.float32)], [np.zeros((2, 11))] * 2):
        with pytest.raises(ValueError):
            multi_signature_combine(parts, 3, 2)
    with pytest.raises(ValueError):
        extract_signature_term(a, 3, 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("shape", "depth"), [((1, 3000, 4), 4), ((40, 50, 8), 3), ((7, 97, 6), 3), ((16, 64, 2), 6)]
)
def test_values_are_the_same_for_any_number_of_threads(shape, depth, dtype):
    x = np.random.default_rng(3).standard_normal(shape).cumsum(-2).astype(dtype)
    for stream in (False, True):
        one, *others = (signature(x, depth, stream=stream, n_jobs=n) for n in (1, 2, 3, 8))
        for other in others:
            np.testing.assert_array_equal(one, other)
