"""Kernel features from landmarks, for more series than a Gram matrix is good for."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._cache import PairCache
from .._estimator import Interval, StrOptions, fit_context, restore_layout
from .._measure import Measure
from .._series import Array, SeriesBatch, check_series
from ._base import KERNEL_CONSTRAINTS, KernelTransformer


class SoftDTWNystroem(KernelTransformer):
    r"""Features whose products approximate a kernel between time series (Nyström method).

    Some of the series of fit become landmarks. Every series is described by its kernel values with them,
    rotated so that the products of features are the kernel wherever a landmark takes part.

    Parameters
    ----------
    kernel : {"divergence", "gak", "dtw"}, default="divergence"
        See `SoftDTWKernel`.
    n_components : int, default=100
        Number of landmarks, and of features; all series of fit where there are fewer.
    landmarks : {"random", "k-means++"}, default="random"
        How to choose them: uniformly, or one after the other with a probability that grows with the squared
        distance, in the kernel's space, from those chosen already.
    sigma : float or "median", default="median"
        Bandwidth, see `SoftDTWKernel`.
    gamma : float, default=1.0
        Temperature of "divergence", >= 0; not used by the others.
    cost : {"sqeuclidean", "euclidean", "manhattan", "cosine"} or callable, default="sqeuclidean"
        Local cost of two time steps, see `soft_dtw`; "gak" has one of its own.
    sakoe_chiba_radius : int or float, default=None
        Half-width of the band around the diagonal, in cells (int) or as a fraction of the longer series
        (float).
    itakura_max_slope : float, default=None
        Largest slope of the Itakura parallelogram, >= 1.
    cache : PairCache, "auto" or None, default="auto"
        Where values of pairs are kept between calls and estimators, see `SoftDTWKernel`.
    n_jobs : int, default=None
        Number of threads: None is 1 (or what ``joblib.parallel_config`` says), -1 all.
    device : {"auto", "cpu", "cuda", "cuda:<i>", "cuda:all"} or list, default="auto"
    random_state : int, RandomState instance or None, default=None
        Draws the landmarks, and the time steps or series of the median.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_timestamps, n_features), or list of ndarray
        The landmarks; a list of (n_timestamps, n_features) arrays where their lengths differ.
    component_indices_ : ndarray of shape (n_components,)
        Which series of fit they are.
    normalization_ : ndarray of shape (n_components, n_components)
        Inverse square root of their Gram matrix.
    sigma_ : float
        The bandwidth in use.
    n_features_in_ : int
        Columns of a table (2-D input) or features per time step.
    feature_names_in_ : ndarray of shape (n_features_in,)
        Where fit saw a DataFrame with names.

    See Also
    --------
    SoftDTWKernel : The Gram matrix itself.

    Notes
    -----
    With the Gram matrix :math:`K = U \Lambda U^\top` of the landmarks, the features of x are :math:`U
    \Lambda^{-1/2} U^\top k(x)`. Eigenvalues that are negative (a kernel that is not positive definite) or
    zero up to rounding count as zero and take their directions out.

    The work of transform is n_samples · n_components alignments.

    References
    ----------
    C. Williams, M. Seeger. Using the Nyström method to speed up kernel machines. NIPS 2001.

    Examples
    --------
    >>> import numpy as np
    >>> from sktime_sdtw import SoftDTWKernel, SoftDTWNystroem
    >>> X = np.random.default_rng(0).standard_normal((20, 10))
    >>> features = SoftDTWNystroem(kernel="gak", sigma=2.0, n_components=20).fit_transform(X)
    >>> gram = SoftDTWKernel(kernel="gak", sigma=2.0).fit_transform(X)
    >>> np.allclose(features @ features.T, gram)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **KERNEL_CONSTRAINTS,
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "landmarks": [StrOptions({"random", "k-means++"})],
    }

    components_: Array | list[Array]
    component_indices_: Array
    normalization_: Array
    sigma_: float

    def __init__(
        self,
        kernel: str = "divergence",
        *,
        n_components: int = 100,
        landmarks: str = "random",
        sigma: float | str = "median",
        gamma: float = 1.0,
        cost: Any = "sqeuclidean",
        sakoe_chiba_radius: int | float | None = None,
        itakura_max_slope: float | None = None,
        cache: PairCache | str | None = "auto",
        n_jobs: int | None = None,
        device: str | list[str] = "auto",
        random_state: Any = None,
    ) -> None:
        self.kernel = kernel
        self.n_components = n_components
        self.landmarks = landmarks
        self.sigma = sigma
        self.gamma = gamma
        self.cost = cost
        self.sakoe_chiba_radius = sakoe_chiba_radius
        self.itakura_max_slope = itakura_max_slope
        self.cache = cache
        self.n_jobs = n_jobs
        self.device = device
        self.random_state = random_state

    @fit_context
    def fit(self, X: Any, y: Any = None) -> SoftDTWNystroem:
        """Set the bandwidth, choose the landmarks, and decompose their Gram matrix.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or list
            Lists hold series of any lengths; time steps of NaN at the end of a series are padding.
        y : ignored

        Returns
        -------
        self : SoftDTWNystroem
        """
        batch = self._check_series(X, reset=True)
        rng = check_random_state(self.random_state)
        self._fit_bandwidth(batch)
        measure = self._measure()
        n_components = min(self.n_components, len(batch))
        if self.landmarks == "random":
            self.component_indices_ = rng.permutation(len(batch))[:n_components]
        else:
            self.component_indices_ = self._spread(batch, n_components, measure, rng)
        landmarks = batch.take(self.component_indices_)
        self.components_ = restore_layout(landmarks, flat=False)
        self._self_terms = measure.self_terms(landmarks)
        self.normalization_ = _inverse_square_root(self._to_kernel(measure.matrix(landmarks)))
        self._n_features_out = n_components
        return self

    def transform(self, X: Any) -> Array:
        """Features of series.

        Parameters
        ----------
        X : array-like or list, as in `fit`
            Of any lengths, except where fit saw a table.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
        """
        check_is_fitted(self)
        batch = self._check_series(X, reset=False)
        matrix = self._measure().matrix(batch, check_series(self.components_), self_y=self._self_terms)
        return self._to_kernel(matrix) @ self.normalization_.astype(matrix.dtype)

    def _spread(
        self, batch: SeriesBatch, n_components: int, measure: Measure, rng: np.random.RandomState
    ) -> Array:
        """Landmarks by k-means++ sampling; transform needs the same kernel values (the cache has them)."""
        self_terms = measure.self_terms(batch)
        chosen = [int(rng.randint(len(batch)))]
        distance = np.full(len(batch), np.inf)
        while len(chosen) < n_components:
            last = chosen[-1:]
            column = measure.matrix(batch, batch.take(last), self_y=self_terms.take(last))
            # |phi(x) - phi(y)|² = 2 - 2 k(x, y), as k(x, x) = 1
            distance = np.minimum(distance, np.maximum(2.0 - 2.0 * self._to_kernel(column)[:, 0], 0.0))
            distance[chosen] = 0.0
            weights = distance if distance.sum() > 0 else ~np.isin(np.arange(len(batch)), chosen)
            chosen.append(int(rng.choice(len(batch), p=weights / weights.sum())))
        return np.array(chosen)


def _inverse_square_root(gram: Array) -> Array:
    """Pseudo-inverse of the square root of the positive part, in the dtype of the matrix."""
    values, vectors = np.linalg.eigh(gram.astype(np.float64))
    keep = values > len(gram) * np.finfo(gram.dtype).eps * values[-1]
    scaled = vectors[:, keep] / np.sqrt(values[keep])
    return np.asarray((scaled @ vectors[:, keep].T).astype(gram.dtype))
