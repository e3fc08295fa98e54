"""Signatures of windows."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sktime_sdtw.signatures import logsignature, signature

WINDOWS = [
    ("sliding", 5),
    ("sliding", 7, 3),
    ("sliding", 41),
    ("sliding", 40),
    ("expanding", 2),
    ("expanding", 4, 5),
    ("dyadic", 1),
    ("dyadic", 4),
    np.array([[0, 2], [3, 39], [38, 40], [0, 40], [3, 39]]),
    np.zeros((0, 2), dtype=int),
]


def intervals(windows, n):
    if not isinstance(windows, tuple):
        return windows.tolist()
    kind, *numbers = windows
    if kind == "dyadic":
        levels = [
            np.floor(np.linspace(0, 1, 2**level + 1) * (n - 1)).astype(int) for level in range(numbers[0])
        ]
        return [(a, b + 1) for cuts in levels for a, b in itertools.pairwise(cuts)]
    length, step = numbers[0], numbers[1] if len(numbers) > 1 else 1
    ends = range(length, n + 1, step)
    return [(end - length if kind == "sliding" else 0, end) for end in ends]


@pytest.mark.parametrize("windows", WINDOWS, ids=str)
@pytest.mark.parametrize("leading", [(), (3,), (2, 2), (0,)], ids=str)
def test_windows_are_paths_of_their_own(windows, leading):
    x = np.random.default_rng(0).normal(size=(*leading, 40, 3)) * 0.3
    found = signature(x, 3, windows=windows, scalar_term=True)
    expected = intervals(windows, 40)
    assert found.shape == (*leading, len(expected), 40)
    for i, (start, end) in enumerate(expected):
        one = signature(x[..., start:end, :], 3, scalar_term=True)
        np.testing.assert_allclose(found[..., i, :], one, rtol=0, atol=1e-13)
    log = logsignature(x, 3, windows=windows)
    for i, (start, end) in enumerate(expected):
        np.testing.assert_allclose(log[..., i, :], logsignature(x[..., start:end, :], 3), rtol=0, atol=1e-13)


def test_windows_of_ragged_batches():
    x = np.random.default_rng(0).normal(size=(3, 20, 2))
    lengths = np.array([5, 20, 2])
    for windows in (("sliding", 6), ("expanding", 3), np.array([[0, 9], [4, 20], [6, 8]])):
        found = signature(x, 3, windows=windows, lengths=lengths)
        for row, path, n in zip(found, x, lengths, strict=True):
            still = np.concatenate([path[:n], np.repeat(path[n - 1 : n], 20 - n, axis=0)])
            np.testing.assert_allclose(row, signature(still, 3, windows=windows), rtol=0, atol=1e-12)


def test_float32_windows_far_along_a_stream():
    x = np.cumsum(np.random.default_rng(0).normal(size=(1, 10_000, 4)), axis=1).astype(np.float32)
    windows = np.array([[10, 60], [1000, 1050], [9000, 9050], [2000, 2500]])
    found = signature(x, 5, windows=windows)
    for row, (start, end) in zip(found[0], windows, strict=True):
        expected = signature(x[0, start:end].astype(np.float64), 5)
        assert np.abs(row - expected).max() / np.abs(expected).max() < 1e-5


@pytest.mark.parametrize(
    ("windows", "error"),
    [
        (("hopping", 3), ValueError),
        (("sliding",), ValueError),
        (("sliding", 1), ValueError),
        (("sliding", 3, 0), ValueError),
        (("sliding", 3.0), TypeError),
        (("dyadic", 9), ValueError),
        (("dyadic", 2, 2), ValueError),
        ([[0, 1]], ValueError),
        ([[0, 11]], ValueError),
        ([[-1, 5]], ValueError),
        ([[0.0, 5.0]], ValueError),
        ([0, 5], ValueError),
    ],
)
def test_errors(windows, error):
    with pytest.raises(error):
        signature(np.zeros((2, 10, 2)), 2, windows=windows)


@pytest.mark.parametrize("more", [{"stream": True}, {"basepoint": True}], ids=str)
def test_windows_exclude(more):
    with pytest.raises(ValueError, match="combined"):
        signature(np.zeros((2, 10, 2)), 2, windows=("sliding", 3), **more)


@pytest.mark.parametrize(
    "windows", [("sliding", 4, 2), ("expanding", 2), ("dyadic", 3), [[0, 3], [1, 9]]], ids=str
)
def test_derivatives(windows):
    torch = pytest.importorskip("torch")
    x = torch.randn(2, 9, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for lengths in (None, torch.tensor([5, 9])):
        given = {"windows": windows, "lengths": lengths}
        assert torch.autograd.gradcheck(lambda x, given=given: signature(x, 3, **given), (x,))
        assert torch.autograd.gradgradcheck(lambda x, given=given: signature(x, 2, **given), (x,))


def test_threads_share_overlapping_windows():
    torch = pytest.importorskip("torch")
    x = torch.randn(3, 400, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    grads, before = [], torch.get_num_threads()
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            y = x.clone().requires_grad_()
            signature(y, 4, windows=("sliding", 30)).square().sum().backward()
            grads.append(y.grad)
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(*grads, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("size", "step"), [(20, 1), (33, 3), (64, 7), (65, 16), (150, 1)])
@pytest.mark.parametrize("batch", [1, 3])
def test_sliding_windows_that_overlap_much(dtype, size, step, batch):
    x = (np.random.default_rng(0).normal(size=(batch, 300, 3)) * 0.2).astype(dtype)
    lengths = np.array([300, 2, 171])[:batch]
    found = signature(x, 4, windows=("sliding", size, step), lengths=lengths, n_jobs=2)
    starts = range(0, 300 - size + 1, step)
    assert found.shape[1] == len(starts)
    for i, start in enumerate(starts):
        for b in range(batch):
            end = min(start + size, int(lengths[b]))
            if end - start < 2:
                assert (found[b, i] == 0).all()
                continue
            expected = signature(x[b, start:end], 4)
            scale = max(1.0, np.abs(expected).max())
            tolerance = (1e-5 if dtype == np.float32 else 1e-13) * scale
            np.testing.assert_allclose(found[b, i], expected, rtol=0, atol=tolerance)


# --- windows that each path has for itself


def own_windows(leading, count, n, seed=0):
    rng = np.random.default_rng(seed)
    start = rng.integers(0, n - 1, size=(*leading, count))
    return np.stack([start, start + 2 + rng.integers(0, n - 1 - start)], axis=-1)


@pytest.mark.parametrize("leading", [(3,), (2, 2), (0,), (1,)], ids=str)
def test_windows_of_each_path(leading):
    x = np.random.default_rng(0).normal(size=(*leading, 30, 2)) * 0.3
    windows = own_windows(leading, 7, 30)
    for f in (signature, logsignature):
        found = f(x, 3, windows=windows)
        assert found.shape[:-1] == (*leading, 7)
        for i in np.ndindex(*leading, 7):
            start, end = windows[i]
            np.testing.assert_allclose(found[i], f(x[i[:-1]][start:end], 3), rtol=0, atol=1e-13)


def test_windows_of_each_path_of_its_length():
    x = np.random.default_rng(0).normal(size=(3, 20, 2))
    lengths, windows = np.array([5, 20, 2]), own_windows((3,), 12, 20)
    found = signature(x, 3, windows=windows, lengths=lengths)
    assert (found == 0).all(axis=-1).any()
    for row, path, n, own in zip(found, x, lengths, windows, strict=True):
        still = np.concatenate([path[:n], np.repeat(path[n - 1 : n], 20 - n, axis=0)])
        np.testing.assert_allclose(row, signature(still, 3, windows=own), rtol=0, atol=1e-12)


def test_derivatives_of_windows_of_each_path():
    torch = pytest.importorskip("torch")
    x = torch.randn(2, 9, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for lengths in (None, torch.tensor([4, 9])):
        given = {"windows": torch.from_numpy(own_windows((2,), 4, 9)), "lengths": lengths}
        assert torch.autograd.gradcheck(lambda x, given=given: signature(x, 3, **given), (x,))
        assert torch.autograd.gradgradcheck(lambda x, given=given: signature(x, 2, **given), (x,))
        expected = signature(x.detach().numpy(), 3, windows=given["windows"].numpy(), lengths=lengths)
        np.testing.assert_array_equal(signature(x, 3, **given).detach(), expected)


@pytest.mark.parametrize("shape", [(3, 4, 2), (2, 4, 3), (2, 2, 4, 2)])
def test_errors_of_windows_of_each_path(shape):
    with pytest.raises(ValueError, match="shape"):
        signature(np.zeros((2, 10, 2)), 2, windows=np.zeros(shape, dtype=int))


# --- what stands behind the end of a path


@pytest.mark.parametrize("padding", [np.nan, np.inf, 1e300])
@pytest.mark.parametrize("n", [11, 200])
@pytest.mark.parametrize("how", ["whole", "stream", *range(5)])
def test_nothing_behind_the_end_of_a_path_counts(how, n, padding):
    kinds = [("sliding", 4), ("expanding", 3, 2), ("dyadic", 3), [[0, 4], [6, 8], [3, 11]], None]
    lengths = np.array([2, 5, n, 7])
    x = np.random.default_rng(0).normal(size=(4, n, 2)) * 0.3
    still, path = x.copy(), x.copy()
    for i, end in enumerate(lengths):
        still[i, end:] = still[i, end - 1]
        path[i, end:] = padding
    more = {"stream": True} if how == "stream" else {}
    if isinstance(how, int):
        more = {"windows": own_windows((4,), 6, n) if kinds[how] is None else kinds[how]}
    np.testing.assert_allclose(
        signature(path, 3, lengths=lengths, **more), signature(still, 3, **more), rtol=0, atol=1e-13
    )
    torch = pytest.importorskip("torch")
    grads = []
    for values, given in ((path, lengths), (still, None)):
        leaf = torch.from_numpy(values.copy()).requires_grad_()
        signature(leaf, 3, lengths=given, **more).square().sum().backward()
        grads.append(leaf.grad)
    for i, end in enumerate(lengths):  # what stands still repeats the last point
        grads[1][i, end - 1] += grads[1][i, end:].sum(0)
        grads[1][i, end:] = 0
    torch.testing.assert_close(*grads, rtol=0, atol=1e-12)
