"""Kernels between signatures that are never computed, and what is made of them."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ._arguments import check_array
from ._kernel_arguments import (
    check_alike,
    check_finite,
    check_path_lengths,
    check_paths,
    check_values,
    choose_kernels,
    settings_of,
    to_working,
)
from ._kernel_numpy import Settings
from ._words import count_words

# In a signature that is computed for a kernel.
MOST_WORDS = 2**20


def signature_kernel(
    x: Any,
    y: Any = None,
    *,
    depth: int | None = None,
    refinement: int | tuple[int, int] = 0,
    static_kernel: str = "linear",
    sigma: float = 1.0,
    normalize: bool = False,
    x_lengths: Any = None,
    y_lengths: Any = None,
    n_jobs: int | None = None,
) -> Any:
    r"""Signature kernel of pairs of paths: the inner product of their signatures.

    Parameters
    ----------
    x : ndarray or torch.Tensor of shape (..., length of x, channels)
        Points that are joined by straight lines. float16 and bfloat16 are computed in float32. With
        static_kernel="precomputed", increments of a static kernel of shape (..., steps of x, steps of y).
    y : ndarray or torch.Tensor of shape (..., length of y, channels), default=None
        As many paths as x; None with static_kernel="precomputed".
    depth : int, default=None
        Longest words that count; None is all of them, by the Goursat equation.
    refinement : int or (int, int), default=0
        Each step of the paths is cut into 2^refinement for the Goursat equation, of x and of y. One more of
        both divides the error by 4, and multiplies the time by 4 at most.
    static_kernel : {"linear", "rbf", "precomputed"}, default="linear"
        Of two points: ⟨x, y⟩ / sigma², or exp(-‖x - y‖² / (2 sigma²)): the kernel is then that of paths among
        functions. "precomputed" takes differences of any other, k(x[i+1], y[j+1]) - k(x[i], y[j+1]) -
        k(x[i+1], y[j]) + k(x[i], y[j]).
    sigma : float, default=1.0
        Bandwidth, > 0. For "linear", the paths are divided by it.
    normalize : bool, default=False
        Divide by sqrt(k(x, x) k(y, y)).
    x_lengths, y_lengths : array of int of shape (...), default=None
        How many points of each path count; at least 1.
    n_jobs : int, default=None
        Number of threads for NumPy arrays: None is 1, -1 all. For tensors, ``torch.get_num_threads()``.

    Returns
    -------
    ndarray or torch.Tensor of shape (...)

    Raises
    ------
    ValueError
        For shapes, dtypes and values that do not fit together, as the message says.

    See Also
    --------
    signature_kernel_gram : Of all pairs.

    Notes
    -----
    .. math:: k(s, t) = \langle S(x_{[0, s]}), S(y_{[0, t]}) \rangle, \quad
        \partial_s \partial_t k = \langle \dot x_s, \dot y_t \rangle k, \quad k(0, t) = k(s, 0) = 1

    An explicit scheme of second order solves the equation on the grid of the steps; gradients are those of
    the scheme, exactly. Their memory grows with the square root of the length of x, times the length of y,
    for as many pairs as are computed at once: 16 at most on a thread. Second derivatives of tensors run in
    torch, and keep a few numbers for each cell of each pair.

    Tensors on a GPU are computed there, by the same scheme: a warp for 128 rows of the grid, with one number
    in memory for each two steps, however fine the grid is. The refinement of x is at most 7 there. Lengths
    are needed on the host: pass them as CPU tensors, or the GPU is waited for.

    With `depth` the value is exact. The kernel grows like the exponential of the product of the paths'
    lengths: choose sigma so that these are not far from 1.

    References
    ----------
    C. Salvi, T. Cass, J. Foster, T. Lyons, W. Yang. The signature kernel is the solution of a Goursat PDE.
    SIAM Journal on Mathematics of Data Science, 2021. arXiv:2006.14794.

    F. Király, H. Oberhauser. Kernels for sequentially ordered data. JMLR 2019. arXiv:1601.08169.

    Examples
    --------
    >>> import numpy as np
    >>> from sktime_sdtw.signatures import signature_kernel
    >>> x = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    >>> y = np.array([[0.0, 0.0], [1.0, 1.0]])
    >>> round(float(signature_kernel(x, y, depth=2)), 6)
    4.0
    >>> round(float(signature_kernel(x, y, refinement=5)), 3)
    4.253
    """
    settings = settings_of(static_kernel, sigma, refinement, depth)
    if static_kernel == "precomputed":
        return _of_increments(x, y, settings, sigma, normalize, x_lengths, y_lengths, n_jobs)
    ops, impl = choose_kernels(x, y)
    x, y = check_paths(x, "x", ops), check_paths(y, "y", ops)
    check_alike(x, y, "x", "y")
    if x.shape[:-2] != y.shape[:-2]:
        raise ValueError(
            f"x and y must hold as many paths, in the same dimensions. Got {tuple(x.shape)} and "
            f"{tuple(y.shape)}; for all pairs of two sets use signature_kernel_gram."
        )
    x_lengths = check_path_lengths(x_lengths, x, "x_lengths", ops)
    y_lengths = check_path_lengths(y_lengths, y, "y_lengths", ops)
    check_finite(x, x_lengths, "x", ops)
    check_finite(y, y_lengths, "y", ops)
    dtype, x, y = x.dtype, to_working(x, ops), to_working(y, ops)
    values = _values(impl, ops, x, y, x_lengths, y_lengths, True, settings, n_jobs)
    check_values(values, ops)
    if normalize:
        own_x = _own(impl, ops, x, x_lengths, settings, 0, n_jobs)
        own_y = _own(impl, ops, y, y_lengths, settings, 1, n_jobs)
        values = values / (own_x * own_y)
    return ops.cast(values, dtype)


def signature_kernel_gram(
    X: Any,
    Y: Any = None,
    *,
    depth: int | None = None,
    refinement: int | tuple[int, int] = 0,
    static_kernel: str = "linear",
    sigma: float = 1.0,
    normalize: bool = False,
    x_lengths: Any = None,
    y_lengths: Any = None,
    n_jobs: int | None = None,
) -> Any:
    """Signature kernel of all pairs of paths.

    Parameters
    ----------
    X : ndarray or torch.Tensor of shape (..., n, length of x, channels)
        Points that are joined by straight lines.
    Y : ndarray or torch.Tensor of shape (..., m, length of y, channels), default=None
        None is X: the matrix is symmetric, and half of the work is done.
    depth, refinement, static_kernel, sigma, normalize, n_jobs
        As in `signature_kernel`, but without "precomputed".
    x_lengths, y_lengths : array of int of shape (..., n) and (..., m), default=None
        How many points of each path count; at least 1.

    Returns
    -------
    ndarray or torch.Tensor of shape (..., n, m)

    See Also
    --------
    signature_kernel : Of one path with one other.
    sktime_sdtw.SignatureKernel : For scikit-learn.

    Examples
    --------
    >>> import numpy as np
    >>> from sktime_sdtw.signatures import signature_kernel_gram
    >>> X = np.array([[[0.0], [1.0], [2.0]], [[0.0], [2.0], [1.0]]])
    >>> signature_kernel_gram(X, refinement=4, normalize=True).round(3)
    array([[1.   , 0.839],
           [0.839, 1.   ]])
    """
    settings = settings_of(static_kernel, sigma, refinement, depth)
    if static_kernel == "precomputed":
        raise ValueError(
            "static_kernel='precomputed' takes increments of pairs: pass those of all pairs to "
            "signature_kernel."
        )
    same = Y is None
    ops, impl = choose_kernels(X, X if same else Y)
    X = check_paths(X, "X", ops, least=3)
    x_lengths = check_path_lengths(x_lengths, X, "x_lengths", ops)
    check_finite(X, x_lengths, "X", ops)
    if same:
        if y_lengths is not None:
            raise ValueError("y_lengths must be None where Y is: x_lengths are those of both.")
        if settings.refinement[0] != settings.refinement[1]:
            Y, y_lengths, same = X, x_lengths, False  # not symmetric
    else:
        Y = check_paths(Y, "Y", ops, least=3)
        check_alike(X, Y, "X", "Y")
        if X.shape[:-3] != Y.shape[:-3]:
            raise ValueError(
                "X and Y must have the same dimensions before their last three. "
                f"Got {tuple(X.shape)} and {tuple(Y.shape)}."
            )
        y_lengths = check_path_lengths(y_lengths, Y, "y_lengths", ops)
        check_finite(Y, y_lengths, "Y", ops)
    dtype, X = X.dtype, to_working(X, ops)
    Y = None if same else to_working(Y, ops)
    values = _values(impl, ops, X, Y, x_lengths, y_lengths, False, settings, n_jobs)
    check_values(values, ops)
    if normalize:
        if same:
            # Roots first: the product of two large numbers could overflow.
            own_x = own_y = _root(values.diagonal(0, -2, -1), ops)
        else:
            own_x = _own(impl, ops, X, x_lengths, settings, 0, n_jobs)
            own_y = _own(impl, ops, Y, y_lengths, settings, 1, n_jobs)
        values = values / (own_x[..., :, None] * own_y[..., None, :])
    return ops.cast(values, dtype)


def signature_mmd(X: Any, Y: Any, *, unbiased: bool = True, **params: Any) -> Any:
    """Squared maximum mean discrepancy of two samples of paths, with the signature kernel.

    Parameters
    ----------
    X : ndarray or torch.Tensor of shape (..., n, length of x, channels)
        At least two paths where `unbiased`.
    Y : ndarray or torch.Tensor of shape (..., m, length of y, channels)
        As X.
    unbiased : bool, default=True
        Leave out the pairs of a path with itself: the expectation is 0 for samples of one distribution, and
        the value may be negative. Otherwise it is the squared distance of the means of the two samples.
    **params
        depth, refinement, static_kernel, sigma, normalize, x_lengths, y_lengths and n_jobs, as in
        `signature_kernel_gram`.

    Returns
    -------
    ndarray or torch.Tensor of shape (...)

    See Also
    --------
    signature_score : For single paths.

    References
    ----------
    A. Gretton, K. Borgwardt, M. Rasch, B. Schölkopf, A. Smola. A kernel two-sample test. JMLR 2012.

    I. Chevyrev, H. Oberhauser. Signature moments to characterize laws of stochastic processes. JMLR 2022.
    arXiv:1810.10971.

    Examples
    --------
    >>> import numpy as np
    >>> from sktime_sdtw.signatures import signature_mmd
    >>> steps = np.random.default_rng(0).normal(size=(2, 50, 20, 1)) / 20**0.5
    >>> X, Y = np.cumsum(steps, axis=-2)
    >>> round(float(signature_mmd(X, Y)), 3), round(float(signature_mmd(X, 2 * Y)), 3)
    (0.003, 2.049)
    """
    xy = signature_kernel_gram(X, Y, **params)  # the first, for messages that name the arguments of this
    both, own_x, own_y = _split(params)
    xx = signature_kernel_gram(X, **both, **own_x)
    yy = signature_kernel_gram(Y, **both, **own_y)
    return _mean(xx, "X", unbiased) + _mean(yy, "Y", unbiased) - 2 * xy.mean((-2, -1))


def signature_score(X: Any, y: Any, **params: Any) -> Any:
    """Scoring rule of the signature kernel: how well samples of paths forecast what came true.

    Parameters
    ----------
    X : ndarray or torch.Tensor of shape (..., n, length of x, channels)
        The forecast, at least two paths.
    y : ndarray or torch.Tensor of shape (..., m, length of y, channels)
        What came true, each scored for itself.
    **params
        depth, refinement, static_kernel, sigma, normalize, x_lengths, y_lengths and n_jobs, as in
        `signature_kernel_gram`.

    Returns
    -------
    ndarray or torch.Tensor of shape (..., m)
        The mean of k(x, x') over two different paths of X, less twice that of k(x, y). Of two forecasts X of
        the same y the better one has the lower score, on average.

    See Also
    --------
    signature_mmd : Of two samples.

    References
    ----------
    Z. Issa, B. Horvath, M. Lemercier, C. Salvi. Non-adversarial training of neural SDEs with signature kernel
    scores. NeurIPS 2023. arXiv:2305.16274.

    Examples
    --------
    >>> import numpy as np
    >>> from sktime_sdtw.signatures import signature_score
    >>> steps = np.random.default_rng(0).normal(size=(2, 50, 20, 1)) / 20**0.5
    >>> X, y = np.cumsum(steps, axis=-2)
    >>> bool(signature_score(X, y).mean() < signature_score(2 * X, y).mean())
    True
    """
    both, own_x, _ = _split(params)
    xx = signature_kernel_gram(X, **both, **own_x)
    return _mean(xx, "X", True)[..., None] - 2 * signature_kernel_gram(X, y, **params).mean(-2)


def _split(params: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Arguments of both samples, and those of each alone as a first argument."""
    both = {name: value for name, value in params.items() if not name.endswith("_lengths")}
    return both, {"x_lengths": params.get("x_lengths")}, {"x_lengths": params.get("y_lengths")}


def _mean(gram: Any, name: str, unbiased: bool) -> Any:
    n = gram.shape[-1]
    if n < 1 + unbiased:
        least = "two paths, to compare different ones" if unbiased else "one path"
        raise ValueError(f"{name} must have at least {least}. Got {n}.")
    if not unbiased:
        return gram.mean((-2, -1))
    return (gram.sum((-2, -1)) - gram.diagonal(0, -2, -1).sum(-1)) / (n * (n - 1))


def _values(
    impl: ModuleType,
    ops: ModuleType,
    x: Any,
    y: Any,
    x_lengths: Any,
    y_lengths: Any,
    paired: bool,
    settings: Settings,
    n_jobs: int | None,
) -> Any:
    """Values of the kernel; to a depth, from the signatures where these are the shorter way."""
    if not _prefers_signatures(x, y, paired, settings):
        return impl.kernel(x, y, x_lengths, y_lengths, paired, settings, n_jobs)
    scale = settings.scale**0.5

    def words(paths: Any, lengths: Any) -> Any:
        return ops.signature(paths * scale, None, lengths, settings.depth, False, None, n_jobs)

    first = words(x, x_lengths)
    if paired:
        return (first * (first if y is x else words(y, y_lengths))).sum(-1) + 1
    second = first if y is None else words(y, y_lengths)
    return first @ second.swapaxes(-1, -2) + 1


def _prefers_signatures(x: Any, y: Any, paired: bool, settings: Settings) -> bool:
    """Whether signatures and their inner products take fewer operations than the tables of all pairs."""
    depth, other = settings.depth, x if y is None else y
    n, m, channels = x.shape[-2], other.shape[-2], x.shape[-1]
    if not depth or settings.static != "linear" or min(n, m) < 2 or channels**depth > MOST_WORDS:
        return False
    words, step = count_words(channels, depth), 0
    for k in range(1, depth + 1):
        step += (depth - k + 1) * channels**k
    count = 1 if paired else x.shape[-3]
    others = 1 if paired else other.shape[-3]
    own = (count * n + (0 if y is None else others * m)) * step
    cell = channels + depth * (depth + 1) * (2 * depth + 1) // 3
    return bool(own + count * others * words < count * others * n * m * cell)


def _own(
    impl: ModuleType, ops: ModuleType, x: Any, lengths: Any, settings: Settings, side: int, n_jobs: int | None
) -> Any:
    """Roots of the kernel of paths with themselves."""
    order = settings.refinement[side]
    own = Settings(settings.static, settings.scale, (order, order), settings.depth)
    return _root(_values(impl, ops, x, x, lengths, lengths, True, own, n_jobs), ops)


def _root(values: Any, ops: ModuleType) -> Any:
    if ops.name == "numpy" and values.size and not values.min() > 0:
        raise ValueError(
            "The kernel of a path with itself is not positive: its steps are too large for this grid. "
            "Choose a larger refinement or sigma."
        )
    return values**0.5


def _of_increments(
    x: Any,
    y: Any,
    settings: Settings,
    sigma: Any,
    normalize: bool,
    x_lengths: Any,
    y_lengths: Any,
    n_jobs: Any,
) -> Any:
    if y is not None or x_lengths is not None or y_lengths is not None:
        raise ValueError("y, x_lengths and y_lengths must be None where static_kernel='precomputed'.")
    if normalize or sigma != 1.0:
        raise ValueError("normalize and sigma cannot be used where static_kernel='precomputed'.")
    ops, impl = choose_kernels(x, None)
    x = check_array(x, "x", ops)
    if x.ndim < 2:
        raise ValueError(f"x must have the shape (..., steps of x, steps of y). Got {tuple(x.shape)}.")
    check_finite(x, None, "x", ops)
    values = impl.kernel(to_working(x, ops), None, None, None, True, settings, n_jobs)
    check_values(values, ops)
    return ops.cast(values, x.dtype)
