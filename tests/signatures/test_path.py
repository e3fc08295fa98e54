"""Paths that answer for their intervals."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sktime_sdtw.signatures import Path, logsignature, signature


def walks(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape) * 0.3


def check(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * np.abs(expected).max(initial=1.0))


@settings(max_examples=40, deadline=None)
@given(
    pieces=st.lists(st.integers(1, 150), min_size=1, max_size=4),
    based=st.booleans(),
    scalar=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_slices_are_those_of_the_path(pieces, based, scalar, seed):
    rng = np.random.default_rng(seed)
    parts = [rng.normal(size=(2, n, 2)) * 0.2 for n in pieces]
    base = rng.normal(size=(2, 2))
    path = Path(parts[0], 3, basepoint=base if based else False, scalar_term=scalar)
    for part in parts[1:]:
        path.update(part)
    whole = np.concatenate([*([base[:, None]] if based else []), *parts], axis=1)
    assert path.shape == whole.shape
    n = whole.shape[1]
    for _ in range(6):
        start, end = (None if rng.random() < 0.2 else int(rng.integers(-n - 3, n + 4)) for _ in range(2))
        expected = whole[:, start:end]
        if expected.shape[1] < 2:
            with pytest.raises(ValueError, match="interval"):
                path.signature(start, end)
            continue
        check(path.signature(start, end), signature(expected, 3, scalar_term=scalar))
        check(path.logsignature(start, end, mode="brackets"), logsignature(expected, 3, mode="brackets"))


def test_sizes():
    path = Path(walks((3, 9, 2)), 3, basepoint=True, scalar_term=True)
    assert path.size() == path.shape == (3, 10, 2)
    assert path.size(1) == 10
    assert path.channels() == 2
    assert path.signature_shape == path.signature_size() == (3, 9, 15)
    assert path.signature_size(-1) == path.signature_channels() == 15
    assert path.logsignature_shape == path.logsignature_size() == (3, 9, 5)
    assert path.logsignature_size(2) == path.logsignature_channels() == 5
    assert [piece.shape for piece in path.path] == [(3, 1, 2), (3, 9, 2)]


def test_without_remembering():
    x = walks((3, 90, 2))
    path = Path(x, 3, basepoint=True, remember_path=False)
    assert path.shape == (3, 91, 2)
    check(path.signature(1), signature(x, 3))
    with pytest.raises(RuntimeError, match="remember_path"):
        _ = path.path


@pytest.mark.parametrize(
    "index",
    [
        0,
        -1,
        slice(1, 3),
        slice(None, None, -1),
        [2, 0],
        np.array([1, 1]),
        np.array([True, False, True, True]),
    ],
    ids=str,
)
def test_indexing(index):
    x = walks((4, 80, 2))
    path = Path(x, 3)
    found = path[index]
    expected = x[[index]] if isinstance(index, int) else x[index]
    assert found.shape == expected.shape
    check(found.signature(3, 77), signature(expected[:, 3:77], 3))
    found.update(walks((len(expected), 40, 2), seed=1))
    assert path.shape == (4, 80, 2)
    check(path.signature(), signature(x, 3))


@pytest.mark.parametrize("index", ["a", 1.0, True, (1, 2), [], [[1]], 7, slice(4, 9)], ids=str)
def test_bad_indices(index):
    with pytest.raises(IndexError):
        _ = Path(walks((4, 5, 2)), 2)[index]


def test_shuffle():
    x = walks((20, 40, 2))
    path = Path(x, 3)
    shuffled, order = path.shuffle()
    check(shuffled.signature(), signature(x[order], 3))
    check(path.signature(), signature(x, 3))
    same, order = path.shuffle_()
    assert same is path
    check(path.signature(), signature(x[order], 3))


@pytest.mark.parametrize("leading", [(), (0,), (2, 3), (2, 0)], ids=str)
@pytest.mark.parametrize("based", [False, True])
def test_leading_dimensions(leading, based):
    x, y = walks((*leading, 70, 2)), walks((*leading, 50, 2), seed=1)
    base = walks((*leading, 2), seed=2)
    path = Path(x, 3, basepoint=base if based else False)
    path.update(y)
    whole = np.concatenate([*([base[..., None, :]] if based else []), x, y], axis=-2)
    assert path.shape == whole.shape
    assert path.signature_shape == (*leading, whole.shape[-2] - 1, 14)
    for start, end in ((0, None), (3, 99), (65, 69)):
        check(path.signature(start, end), signature(whole[..., start:end, :], 3))
        check(path.logsignature(start, end), logsignature(whole[..., start:end, :], 3))
    if leading:
        assert path.shuffle()[0].shape == path.shape
        if leading[0]:
            check(path[-1].signature(2, 80), signature(whole[-1:, ..., 2:80, :], 3))
    else:
        with pytest.raises(IndexError, match="single path"):
            _ = path[0]
        with pytest.raises(TypeError, match="no batch"):
            path.shuffle()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_tensors_keep_their_kind(dtype):
    torch = pytest.importorskip("torch")
    kind = getattr(torch, dtype)
    x = torch.from_numpy(walks((3, 60, 2))).to(kind).requires_grad_()
    path = Path(x, 3, basepoint=x[:, 0].detach(), scalar_term=True)
    assert isinstance(path.shape, torch.Size)
    assert isinstance(path.signature_size(), torch.Size)
    mask = torch.tensor([True, False, True])
    for found in (path, path[mask], path.shuffle()[0]):
        for value in (found.signature(5, 50), found.logsignature(5, 50)):
            assert value.dtype == kind
        value.sum().backward()
    assert x.grad.dtype == kind
    torch.testing.assert_close(path[mask].signature(), path.signature()[mask])


def test_equality_copies_pickles():
    x = walks((3, 70, 2))
    path = Path(x, 3)
    other = x.copy()
    other[:, 5] += 1  # the same ends, another interior
    assert path == Path(x.copy(), 3)
    assert path != Path(other, 3)
    assert path != Path(x, 2)
    assert path != "path"
    with pytest.raises(TypeError, match="unhashable"):
        hash(path)
    for twin in (copy.copy(path), copy.deepcopy(path), pickle.loads(pickle.dumps(path))):
        assert twin == path
        twin.update(x)
        assert twin != path
        check(twin.signature(1, 140), signature(np.concatenate([x, x], axis=1)[:, 1:140], 3))
    check(path.signature(), signature(x, 3))


@pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda path: pickle.loads(pickle.dumps(path))])
def test_copies_of_paths_in_a_graph(twin_of):
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(walks((3, 70, 2))).requires_grad_()
    path = Path(x, 3, basepoint=True)
    path.update(2 * x)
    twin = twin_of(path[[2, 0]])
    expected = signature(torch.cat([x.new_zeros(3, 1, 2), x, 2 * x], dim=1)[[2, 0]], 3)
    torch.testing.assert_close(twin.signature(), expected)
    twin.signature(3, 50).sum().backward()
    assert x.grad is None
    assert twin.path[1].grad is not None  # its own points
    assert twin == path[[2, 0]]


def test_errors():
    path = Path(walks((3, 5, 2)), 2)
    for bad in (walks((2, 5, 2)), walks((3, 5, 3)), walks(3), walks((3, 5, 2)).astype(np.float32)):
        with pytest.raises(ValueError):
            path.update(bad)
    with pytest.raises(ValueError, match="one point"):
        path.signature(2, 3)
    with pytest.raises(ValueError, match="no points"):
        path.signature(3, 2)
    with pytest.raises(ValueError, match="mode"):
        path.logsignature(mode="hall")
    with pytest.raises(ValueError, match="shape"):
        Path(walks(5), 2)


def test_windows_far_along_a_stream_keep_their_digits():
    x = np.cumsum(np.random.default_rng(0).normal(size=(1, 10_000, 4)), axis=1).astype(np.float32)
    path = Path(x, 5)
    for start, size in [(10, 50), (1000, 50), (9000, 50), (9900, 100), (5000, 1000), (0, 10_000), (7, 8000)]:
        expected = signature(x[:, start : start + size].astype(np.float64), 5)
        error = np.abs(path.signature(start, start + size) - expected).max() / np.abs(expected).max()
        assert error < 1e-5


def test_gradients_go_to_the_interval():
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(walks((2, 100, 2))).requires_grad_()
    y = x.detach().clone().requires_grad_()
    path = Path(x, 3, basepoint=True)
    for start, end in ((3, 97), (40, 60)):  # twice: a query keeps no graph of another
        path.signature(start, end).square().sum().backward()
        signature(y[:, start - 1 : end - 1], 3).square().sum().backward()
    torch.testing.assert_close(x.grad, y.grad)

    def f(z):
        return Path(z, 2).signature(1, 70)

    z = torch.from_numpy(walks((1, 72, 2))).requires_grad_()
    assert torch.autograd.gradcheck(f, (z,))
    assert torch.autograd.gradgradcheck(
        lambda z: Path(z, 2).signature(1, 5), (z[:, :6].detach().requires_grad_(),)
    )
    assert path[torch.tensor([1, 0])].shape == (2, 101, 2)


@pytest.mark.parametrize("based", [False, True])
@pytest.mark.parametrize("leading", [(), (3,), (2, 2), (0,)], ids=str)
def test_ragged_paths_stand_still_at_their_ends(leading, based):
    x = walks((*leading, 90, 2))
    lengths = 1 + np.arange(x[..., 0, 0].size).reshape(leading) * 29
    still = x.copy()
    for i in np.ndindex(*leading):
        still[i][lengths[i] :] = still[i][lengths[i] - 1]
        x[i][lengths[i] :] = np.nan
    path, expected = Path(x, 3, based, lengths=lengths), Path(still, 3, based)
    assert path == expected
    for start, end in [(None, None), (5, 9), (20, 80)]:
        check(path.signature(start, end), expected.signature(start, end))
    more = walks((*leading, 4, 2), seed=1)
    path.update(more)
    expected.update(more)
    check(path.signature(), expected.signature())
    torch = pytest.importorskip("torch")
    leaf = torch.from_numpy(x).requires_grad_()
    Path(leaf, 3, True, lengths=lengths).signature().sum().backward()
    expected = leaf.grad.clone()
    leaf.grad = None
    signature(leaf, 3, basepoint=True, lengths=lengths).sum().backward()
    torch.testing.assert_close(leaf.grad, expected, rtol=0, atol=1e-12)


def test_lengths_of_a_path_are_checked():
    for bad in ([0, 5], [5, 6], [5]):
        with pytest.raises(ValueError, match="lengths"):
            Path(walks((2, 5, 2)), 2, lengths=bad)
