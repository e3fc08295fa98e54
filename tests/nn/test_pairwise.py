"""Soft-DTW of all pairs."""

from __future__ import annotations

import contextlib

import pytest

torch = pytest.importorskip("torch")

from sktime_sdtw.functional import (  # noqa: E402
    _library,
    _pairwise_library,
    capturable,
    cdist_soft_dtw,
    cdist_soft_dtw_divergence,
    dtw,
    soft_dtw,
    soft_dtw_divergence,
)


def series(batch, steps, features=2, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, steps, features, generator=generator, dtype=dtype)


def by_pairs(function, x, y, x_lengths=None, y_lengths=None, **options):
    i, j = (
        index.reshape(-1)
        for index in torch.meshgrid(torch.arange(len(x)), torch.arange(len(y)), indexing="ij")
    )
    lengths = {
        name: None if values is None else torch.as_tensor(values)[index]
        for name, values, index in (("x_lengths", x_lengths, i), ("y_lengths", y_lengths, j))
    }
    return function(x[i], y[j], **options, **lengths).reshape(len(x), len(y))


OPTIONS = [
    {},
    {"cost": "euclidean", "gamma": 0.1},
    {"cost": "manhattan"},
    {"cost": "cosine", "gamma": 0.2},
    {"cost": "gak", "bandwidth": 2},
    {"x_lengths": [4, 2, 3], "y_lengths": [5, 1, 2, 3]},
    {"gamma": 0},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(
    ("ours", "pair"), [(cdist_soft_dtw, soft_dtw), (cdist_soft_dtw_divergence, soft_dtw_divergence)]
)
def test_values_and_gradients_are_those_of_the_pairs(ours, pair, options, monkeypatch):
    monkeypatch.setattr(_pairwise_library, "PIECE_BYTES", {"cpu": 2000})  # several pieces
    x, y = series(3, 4).requires_grad_(), series(4, 5, seed=1).requires_grad_()
    weights = series(3, 4, 1)[..., 0]
    value, wanted = ours(x, y, **options), by_pairs(pair, x, y, **options)
    torch.testing.assert_close(value, wanted)
    for a, b in zip(
        torch.autograd.grad((weights * value).sum(), (x, y)),
        torch.autograd.grad((weights * wanted).sum(), (x, y)),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_one_batch_with_itself():
    x = series(4, 5).requires_grad_()
    lengths = [5, 4, 3, 5]
    value = cdist_soft_dtw(x, x_lengths=lengths)
    assert torch.equal(value, value.T)
    wanted = cdist_soft_dtw(x, x, x_lengths=lengths, y_lengths=lengths)
    torch.testing.assert_close(value, wanted)
    weights = series(4, 4, 1)[..., 0]
    for a, b in zip(
        torch.autograd.grad((weights * value).sum(), x),
        torch.autograd.grad((weights * wanted).sum(), x),
        strict=True,
    ):
        torch.testing.assert_close(a, b)
    assert (cdist_soft_dtw_divergence(x, x_lengths=lengths).diagonal() == 0).all()


@pytest.mark.parametrize("cost", ["sqeuclidean", "euclidean", "cosine", "gak"])
@pytest.mark.parametrize("alone", [False, True])
def test_gradcheck_and_gradgradcheck(cost, alone, monkeypatch):
    monkeypatch.setattr(_pairwise_library, "PIECE_BYTES", {"cpu": 1000})
    gamma = torch.tensor(0.7, dtype=torch.float64).requires_grad_()
    x, y = series(3, 4).requires_grad_(), series(2, 3, seed=1).requires_grad_()

    def call(x, gamma, *y):
        return cdist_soft_dtw(x, *y, gamma=gamma, cost=cost)

    leaves = (x, gamma) if alone else (x, gamma, y)
    assert torch.autograd.gradcheck(call, leaves)
    assert torch.autograd.gradgradcheck(call, leaves, atol=1e-5)


def test_pairs_that_do_not_matter_are_left_out(monkeypatch):
    solved = []
    solve = _library.soft_dtw
    monkeypatch.setattr(_pairwise_library, "soft_dtw", lambda *a: solved.append(len(a[0])) or solve(*a))
    x = series(6, 4).requires_grad_()
    cdist_soft_dtw(x, series(5, 4, seed=1)).amin(dim=1).sum().backward()
    assert sum(solved) == 6


def test_bad_series_stay_in_their_rows():
    x, y = series(3, 4), series(3, 5, seed=1)
    good = cdist_soft_dtw(x, y)
    x[1, 2, 0], y[2, 0, 0] = torch.nan, torch.inf
    value = cdist_soft_dtw(x.requires_grad_(), y)
    bad = torch.zeros(3, 3, dtype=torch.bool)
    bad[1], bad[:, 2] = True, True
    assert torch.equal(value.isnan(), bad)
    assert torch.equal(value[~bad], good[~bad])
    for where in (contextlib.nullcontext(), capturable()):
        with where:
            (slope,) = torch.autograd.grad(value[~bad].sum(), x, create_graph=True, retain_graph=True)
            (second,) = torch.autograd.grad(slope[[0, 2]].square().sum(), x)
        for gradient in (slope, second):
            assert gradient[[0, 2]].isfinite().all()
    torch.testing.assert_close(slope[0], torch.autograd.grad(cdist_soft_dtw(x[:1], y[:2]).sum(), x)[0][0])


@pytest.mark.parametrize("alone", [False, True])
def test_in_capturable_calls_all_pairs_are_solved_at_once(alone):
    x, y, u = series(3, 4).requires_grad_(), series(2, 5, seed=1).requires_grad_(), torch.eye(3)
    lengths = {"x_lengths": [4, 2, 3]} if alone else {"x_lengths": [4, 2, 3], "y_lengths": [5, 3]}
    results = []
    for where in (contextlib.nullcontext(), capturable()):
        with where:
            values = cdist_soft_dtw(x, None if alone else y, gamma=0.5, **lengths)
            total = (values * u[: values.shape[0], : values.shape[1]]).sum()
            slopes = torch.autograd.grad(total, (x, y), create_graph=True, allow_unused=True)
            results.append([values, slopes[0], torch.autograd.grad(slopes[0].square().sum(), x)[0]])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


def test_operators_and_transforms():
    x, y = series(3, 4).requires_grad_(), series(2, 5, seed=1).requires_grad_()
    gamma = torch.tensor(0.5, dtype=torch.float64).requires_grad_()
    rest = (1.0, 0, 1.0, 0, 0.0)
    torch.library.opcheck(_pairwise_library.cdist, (x, y, None, None, gamma, *rest))
    torch.library.opcheck(
        _pairwise_library.cdist_backward, (torch.ones(3, 2).double(), x, y, None, None, None, *rest, 7)
    )
    compiled = torch.compile(cdist_soft_dtw, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, y), cdist_soft_dtw(x, y))

    def total(x):
        return cdist_soft_dtw(x, y.detach()).square().sum()

    (expected,) = torch.autograd.grad(total(x), x)
    torch.testing.assert_close(
        torch.autograd.grad(torch.compile(total, backend="aot_eager")(x), x)[0], expected
    )
    torch.testing.assert_close(torch.func.grad(total)(x.detach()), expected)
    stacked = torch.stack([x.detach(), 2 * x.detach()])
    torch.testing.assert_close(torch.vmap(total)(stacked), torch.stack([total(z) for z in stacked]))
    one = x.detach()[:1]
    hessian = torch.func.jacrev(torch.func.jacrev(total))(one)
    torch.testing.assert_close(hessian, torch.autograd.functional.hessian(total, one))
    rows = torch.func.vmap(torch.func.grad(total))(stacked)
    torch.testing.assert_close(rows[0], expected)


@pytest.mark.parametrize("alone", [False, True])
def test_forward_mode(alone):
    def values(x, y, gamma):
        return cdist_soft_dtw(x, None if alone else y, gamma=gamma, x_lengths=[4, 2, 3])

    def total(*tensors):
        return values(*tensors).square().sum()

    points = series(3, 4), series(2, 5, seed=1), torch.tensor(0.5, dtype=torch.float64)
    ways = series(3, 4, seed=2), series(2, 5, seed=3), torch.tensor(0.3, dtype=torch.float64)
    jacobians = torch.autograd.functional.jacobian(values, points)
    along = [(j * way).reshape(*j.shape[:2], -1).sum(2) for j, way in zip(jacobians, ways, strict=True)]
    torch.testing.assert_close(torch.func.jvp(values, points, ways)[1], sum(along))
    hessians = torch.func.hessian(total, argnums=(0, 1, 2))(*points)
    expected = torch.autograd.functional.hessian(total, points)
    backward = torch.func.jacrev(torch.func.jacfwd(total))(*points)
    torch.testing.assert_close(backward, expected[0][0])
    with pytest.raises(NotImplementedError, match="backward pass"):
        torch.func.jacfwd(torch.func.jacfwd(total))(*points)
    for row, expected_row in zip(hessians, expected, strict=True):
        for part, expected_part in zip(row, expected_row, strict=True):
            torch.testing.assert_close(part, expected_part)


def test_empty_batches_and_bad_arguments():
    x, y = series(3, 4), series(2, 5)
    assert cdist_soft_dtw(x[:0], y).shape == (0, 2)
    assert cdist_soft_dtw(x, y[:0]).shape == (3, 0)
    assert cdist_soft_dtw(x[:0]).shape == (0, 0)
    for options, error in [
        ({"cost": "precomputed"}, ValueError),
        ({"cost": lambda x, y: x}, ValueError),
        ({"gamma": torch.ones(3)}, ValueError),
        ({"y_lengths": [1]}, ValueError),
        ({"x_lengths": [1, 2, 9]}, ValueError),
    ]:
        with pytest.raises(error):
            cdist_soft_dtw(x, y, **options)
    with pytest.raises(TypeError, match="y_lengths"):
        cdist_soft_dtw(x, y_lengths=[1, 2, 3])
    with pytest.raises(ValueError, match="no path"):
        cdist_soft_dtw(x, y, x_lengths=[2, 4, 4], itakura_max_slope=1.2)


def test_dtw_is_the_limit():
    x, y = series(3, 6), series(3, 5, seed=1)
    torch.testing.assert_close(dtw(x, y), soft_dtw(x, y, gamma=1e-9), atol=1e-6, rtol=0)
    assert (dtw(x, x) == 0).all()
