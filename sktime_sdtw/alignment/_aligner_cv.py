"""The aligner that chooses the weight of its penalty."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .._estimator import fit_context
from ._aligner import GDTWAligner, Learned, as_sources
from ._problem import read_numbers


class GDTWAlignerCV(GDTWAligner):
    """`GDTWAligner` that chooses the weight of its penalty by cross-validation over time.

    Parameters
    ----------
    template : array-like of shape (length,) or (length, n_features), default=None
        What to align to; None learns it for every weight.
    regs : array-like of shape (n_regs,), default=(0.001, 0.01, 0.1, 1.0)
        Weights to try.
    reg_cumulative, slope_min, slope_max, band, loss, huber_delta, length, max_iter, tol, n_folds, n_jobs
        As in `GDTWAligner`.
    device : {"auto", "cpu", "cuda", "cuda:<i>", "cuda:all"} or list, default="auto"
        Where to compute.

    Attributes
    ----------
    reg_ : float
        The weight with the best score.
    scores_ : ndarray of shape (n_regs,)
        Of all weights, as `GDTWAligner.score` gives them on the series of fit.
    template_, warps_, lengths_, loss_history_, n_iter_, n_features_in_
        As in `GDTWAligner`, with that weight.

    See Also
    --------
    GDTWAligner : With a given weight.

    Examples
    --------
    >>> import numpy as np
    >>> from sktime_sdtw import GDTWAlignerCV
    >>> t = np.linspace(0, 1, 40)
    >>> rng = np.random.default_rng(0)
    >>> X = np.array([np.sin(9 * t**p) for p in (0.8, 1.0, 1.2)]) + 0.3 * rng.normal(size=(3, 40))
    >>> aligner = GDTWAlignerCV(template=np.sin(9 * t)).fit(X)
    >>> aligner.reg_ in (0.001, 0.01, 0.1, 1.0)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **{k: v for k, v in GDTWAligner._parameter_constraints.items() if k != "reg"},
        "regs": ["array-like"],
    }

    def __init__(
        self,
        template: Any = None,
        *,
        regs: Any = (0.001, 0.01, 0.1, 1.0),
        reg_cumulative: float = 0.0,
        slope_min: float = 0.0,
        slope_max: float | None = None,
        band: float | None = None,
        loss: str = "l2",
        huber_delta: float = 1.0,
        length: int | None = None,
        max_iter: int = 10,
        tol: float = 1e-4,
        n_folds: int = 5,
        n_jobs: int | None = None,
        device: str | list[str] = "auto",
    ) -> None:
        self.template = template
        self.regs = regs
        self.reg_cumulative = reg_cumulative
        self.slope_min = slope_min
        self.slope_max = slope_max
        self.band = band
        self.loss = loss
        self.huber_delta = huber_delta
        self.length = length
        self.max_iter = max_iter
        self.tol = tol
        self.n_folds = n_folds
        self.n_jobs = n_jobs
        self.device = device

    @fit_context
    def fit(self, X: Any, y: Any = None) -> GDTWAlignerCV:
        """Try all weights, keep the best.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timestamps) or (n_samples, n_timestamps, n_features), or list
            Series of any lengths.
        y : None
            Ignored.

        Returns
        -------
        self : GDTWAlignerCV
        """
        batch = self._check_series(X, reset=True)
        regs = read_numbers(self.regs, "regs")
        if regs.ndim != 1 or len(regs) == 0 or not np.isfinite(regs).all() or (regs < 0).any():
            raise ValueError(f"regs must be one or more finite numbers >= 0. Got {self.regs!r}.")
        sources, scores = as_sources(batch), []

        def score(learned: Learned) -> float:
            scores.append(self._score(sources, learned.template.astype(np.float64), learned.reg))
            return scores[-1]

        best = max((self._learn(batch, reg) for reg in regs), key=score)  # keeps no more than the best so far
        self.scores_ = np.array(scores)
        self.reg_ = best.reg
        self._keep(batch, best)
        return self
