"""The other packages, each called in its best setting for one thread.

Every function returns a callable without arguments, or raises ImportError when the package is not there.
float32 is used where a package computes in it (the torch ones); the others convert to float64, so they get
float64 at once.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

warnings.filterwarnings("ignore")  # the peers' warnings on deprecations are not our subject

Call = Callable[[], Any]


def channels_first(X: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.swapaxes(X, 1, 2), dtype=np.float64)


def tslearn_pairwise(X: np.ndarray, Y: np.ndarray, gamma: float) -> Call:
    from tslearn.metrics import cdist_soft_dtw

    X, Y = X.astype(np.float64), Y.astype(np.float64)
    return lambda: cdist_soft_dtw(X, Y, gamma=gamma)


def aeon_pairwise(X: np.ndarray, Y: np.ndarray, gamma: float) -> Call:
    from aeon.distances import soft_dtw_pairwise_distance

    X, Y = channels_first(X), channels_first(Y)
    return lambda: soft_dtw_pairwise_distance(X, Y, gamma=gamma, n_jobs=1)


def tslearn_one_pair(x: np.ndarray, y: np.ndarray, gamma: float) -> Call:
    from tslearn.metrics import soft_dtw

    x, y = x.astype(np.float64), y.astype(np.float64)
    return lambda: soft_dtw(x, y, gamma=gamma)


def tslearn_alignments(X: np.ndarray, Y: np.ndarray, gamma: float) -> Call:
    # Less work than the others do: the alignments, without the gradients of the series.
    from tslearn.metrics import soft_dtw_alignment

    X, Y = X.astype(np.float64), Y.astype(np.float64)
    return lambda: [soft_dtw_alignment(x, y, gamma=gamma)[1] for x, y in zip(X, Y, strict=True)]


def _torch_loss(loss: Any, X: np.ndarray, Y: np.ndarray) -> Call:
    import torch

    torch.set_num_threads(1)
    x = torch.from_numpy(X).requires_grad_()
    y = torch.from_numpy(Y).requires_grad_()

    def call() -> Any:
        x.grad = y.grad = None
        value = loss(x, y)
        value.sum().backward()
        return value.detach().numpy()

    return call


def _from_checkout(name: str, path: str | None) -> Any:
    if path is None:
        raise ImportError(f"no checkout with {name} given")
    if path not in sys.path:
        sys.path.insert(0, path)
    return importlib.import_module(name)


def sdtw_cuda_torch_gradient(X: np.ndarray, Y: np.ndarray, gamma: float) -> Call:
    module = _from_checkout("softdtw_cuda", os.environ.get("BENCH_SDTW_CUDA_TORCH"))
    return _torch_loss(module.SoftDTW(gamma=gamma, fused=False), X, Y)


def maghoumi_gradient(X: np.ndarray, Y: np.ndarray, gamma: float) -> Call:
    module = _from_checkout("soft_dtw_cuda", os.environ.get("BENCH_MAGHOUMI"))
    return _torch_loss(module.SoftDTW(use_cuda=False, gamma=gamma), X, Y)


def tslearn_torch_loss(X: np.ndarray, Y: np.ndarray, gamma: float) -> Call:
    from tslearn.metrics import SoftDTWLossPyTorch

    return _torch_loss(SoftDTWLossPyTorch(gamma=gamma), X, Y)


def dilate_step(X: np.ndarray, Y: np.ndarray, gamma: float) -> Call:
    module = _from_checkout("loss.dilate_loss", os.environ.get("BENCH_DILATE"))
    warnings.filterwarnings("ignore", "torch.range is deprecated")
    return _torch_loss(lambda x, y: module.dilate_loss(x, y, 0.5, gamma, "cpu")[0], X, Y)


def dtaidistance_dtw(X: np.ndarray, *, use_pruning: bool) -> Call:
    from dtaidistance import dtw

    series = [np.ascontiguousarray(x[:, 0], dtype=np.float64) for x in X]
    return lambda: dtw.distance_matrix_fast(series, parallel=False, use_pruning=use_pruning) ** 2


def aeon_dtw(X: np.ndarray) -> Call:
    from aeon.distances import dtw_pairwise_distance

    X = channels_first(X)
    return lambda: dtw_pairwise_distance(X, n_jobs=1)


def tslearn_dtw(X: np.ndarray) -> Call:
    from tslearn.metrics import cdist_dtw

    X = X.astype(np.float64)
    return lambda: cdist_dtw(X) ** 2


def tslearn_barycenter(X: np.ndarray, init: np.ndarray, gamma: float, max_iter: int) -> Call:
    from tslearn.barycenters import softdtw_barycenter

    X, init = X.astype(np.float64), init.astype(np.float64)
    return lambda: softdtw_barycenter(X, gamma=gamma, init=init, max_iter=max_iter, tol=1e-300)


def tslearn_k_means(X: np.ndarray, n_clusters: int, gamma: float, seed: int) -> Call:
    from tslearn.clustering import TimeSeriesKMeans

    X = X.astype(np.float64)
    return lambda: TimeSeriesKMeans(
        n_clusters=n_clusters, metric="softdtw", metric_params={"gamma": gamma}, random_state=seed
    ).fit(X)


def tslearn_grid_search(X: np.ndarray, y: np.ndarray, gammas: list[float]) -> Call:
    from sklearn.model_selection import GridSearchCV
    from tslearn.neighbors import KNeighborsTimeSeriesClassifier

    knn = KNeighborsTimeSeriesClassifier(n_neighbors=1, metric="softdtw")
    grid = {"metric_params": [{"gamma": gamma} for gamma in gammas]}
    X = X.astype(np.float64)
    return lambda: GridSearchCV(knn, grid, cv=5, refit=False).fit(X, y)
