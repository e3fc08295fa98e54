"""The optimiser by itself, against SciPy's and against what can be known of its answer."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize, rosen, rosen_der

from sktime_sdtw.barycenters._lbfgs import LBFGS, Evaluation, minimise


def quadratic(seed, n=20, condition=100.0):
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.normal(size=(n, n)))[0]
    matrix = rotation * np.geomspace(1, condition, n) @ rotation.T
    centre = rng.normal(size=n)

    def evaluate(point):
        slope = matrix @ (point - centre)
        return 1.0 + 0.5 * float((point - centre) @ slope), slope

    return evaluate, centre


def run(functions, starts, *, tol=1e-12, max_iter=500):
    problems = [LBFGS(start, tol=tol) for start in starts]
    calls = []
    history = {i: [] for i in range(len(functions))}

    def evaluate(which, points):
        calls.append(list(which))
        results = []
        for i, point in zip(which, points, strict=True):
            value, slope = functions[i](point)
            results.append(Evaluation(value, slope, abs(value), 0.0))
        return results

    minimise(problems, evaluate, max_iter=max_iter, on_step=lambda i: history[i].append(problems[i].value))
    return problems, calls, history


@pytest.mark.parametrize("seed", range(3))
def test_quadratic(seed):
    function, centre = quadratic(seed)
    (problem,), calls, _ = run([function], [np.zeros(20)])
    np.testing.assert_allclose(problem.point, centre, atol=1e-4)
    ours = len(calls)
    theirs = minimize(function, np.zeros(20), jac=True, method="L-BFGS-B", options={"ftol": 1e-12, "gtol": 0})
    assert ours <= 1.5 * theirs.nfev + 10


def test_rosenbrock():
    (problem,), calls, history = run([lambda x: (rosen(x), rosen_der(x))], [np.full(6, -1.2)])
    np.testing.assert_allclose(problem.point, 1.0, atol=1e-3)
    assert len(calls) < 200
    assert np.all(np.diff(history[0]) < 0)
    assert len(history[0]) == problem.n_iter + 1


def test_side_by_side_is_the_same_as_alone():
    functions, _ = zip(*(quadratic(seed) for seed in range(4)), strict=True)
    starts = [np.full(20, float(i)) for i in range(4)]
    together, calls, _ = run(functions, starts)
    assert calls[0] == [0, 1, 2, 3]
    for function, start, problem in zip(functions, starts, together, strict=True):
        (alone,), _, _ = run([function], [start])
        assert np.array_equal(alone.point, problem.point)


def test_steps_are_counted_and_go_on():
    function, _ = quadratic(0)
    (whole,), _, _ = run([function], [np.zeros(20)], max_iter=6)
    assert whole.n_iter == 6
    problem = LBFGS(np.zeros(20), tol=1e-12)
    for expected in (2, 4, 6):
        minimise([problem], lambda _, p: [Evaluation(*function(p[0]), function(p[0])[0], 0.0)], max_iter=2)
        assert problem.n_iter == expected
    np.testing.assert_allclose(problem.point, whole.point, rtol=1e-6)


def test_no_step_at_a_minimum():
    function, centre = quadratic(0)
    (problem,), calls, _ = run([function], [centre])
    assert problem.n_iter == 0
    assert len(calls) == 1


def test_max_iter_zero_evaluates_the_start():
    function, _ = quadratic(0)
    (problem,), calls, _ = run([function], [np.zeros(20)], max_iter=0)
    assert len(calls) == 1
    assert np.isfinite(problem.value)


def test_kinks_do_not_break_it():
    (problem,), calls, history = run(
        [lambda x: (float(np.abs(x - 0.3).sum()), np.sign(x - 0.3))], [np.ones(5)]
    )
    assert len(calls) < 500
    assert history[0][-1] < 0.5 * history[0][0]
    assert np.isfinite(problem.point).all()


def test_restart_forgets_values():
    first, _ = quadratic(0)
    second, centre = quadratic(1)
    (problem,), _, _ = run([first], [np.zeros(20)])
    problem.restart()
    minimise([problem], lambda _, p: [Evaluation(*second(p[0]), 1.0, 0.0)], max_iter=200)
    np.testing.assert_allclose(problem.point, centre, atol=1e-4)
