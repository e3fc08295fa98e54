"""Classify and cluster a data set of the UCR archive: ``python -m sktime_sdtw.demo``.

Prints accuracies, the agreement of the clusters with the classes, and times; writes a picture of the clusters
with their barycenters.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from ._cache import PairCache
from ._engine import instruction_set, resolve_device, resolve_n_threads
from ._series import Array
from .cluster import SoftDTWKMeans
from .datasets import TraceData, load_trace
from .kernels import SoftDTWKernel
from .neighbors import SoftDTWKNeighborsClassifier
from .plot import ClusterDisplay
from .preprocessing import TimeSeriesScaler

GAMMAS = [0.01, 0.1, 1.0, 10.0]
CLUSTER_GAMMA = 0.1


class Row(NamedTuple):
    """One line of a table; the scores stand in two columns."""

    method: str
    gamma: float | None
    left: float
    right: float
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration.

    Parameters
    ----------
    arguments : sequence of str, default=None
        Of the command line; None takes those of the process.

    Returns
    -------
    int
        0, or 1 where something that is needed is missing.
    """
    options = _parse(arguments)
    try:
        _prepare_picture(options.output)
        device, n_threads = resolve_device(options.device), resolve_n_threads(options.n_jobs)
        data = _prepare(load_trace(), options.n_series)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        print(f"sktime_sdtw.demo: {error}", file=sys.stderr)
        return 1
    common = {"n_jobs": options.n_jobs, "device": options.device}
    (n_train, length), n_classes = data.X_train.shape, len(np.unique(data.y_train))
    sizes = f"{n_train} + {len(data.X_test)} series of {length} time steps, {n_classes} classes"
    engine = f"{device} ({instruction_set()}), {n_threads} threads, float32"
    print(f"Trace (UCR archive): {sizes}.\nComputed on: {engine}.\n")
    _print_table(("classification", "gamma", "5-fold", "test", "seconds"), _classify(data, common))
    km, rows = _cluster(data, n_classes, common)
    _print_table(("clustering, adjusted Rand index", "gamma", "train", "test", "seconds"), rows)
    display = ClusterDisplay.from_estimator(km, data.X_train, y=data.y_train)
    display.figure_.savefig(options.output, dpi=150)
    print(f"Clusters of the training series and their barycenters: {options.output}")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    summary = (__doc__ or "").partition("\n\n")[2]
    parser = argparse.ArgumentParser(prog="python -m sktime_sdtw.demo", description=summary)
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("trace_clusters.png"),
        help="picture to write (default: %(default)s)",
    )
    parser.add_argument("--device", default="auto", help="where to compute (default: %(default)s)")
    parser.add_argument(
        "--n-jobs", type=int, default=-1, help="number of threads, -1 for all (default: %(default)s)"
    )
    parser.add_argument(
        "--n-series",
        type=int,
        default=100,
        help="of each half of the data, 20 or more (default: %(default)s)",
    )
    return parser.parse_args(arguments)


def _prepare_picture(output: Path) -> None:
    """Find out now, before the work, whether the picture can be written; without a screen."""
    try:
        import matplotlib as mpl
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError as error:
        raise ImportError(
            "The picture needs matplotlib. Install it with: pip install sktime-sdtw[demo]"
        ) from error
    mpl.use("Agg")
    if not output.parent.is_dir():
        raise FileNotFoundError(f"--output: there is no folder {output.parent}.")
    formats = FigureCanvasBase.get_supported_filetypes()
    if output.is_dir() or output.suffix[1:].lower() not in formats:
        raise ValueError(
            f"--output must be the name of a picture, such as clusters.png or .svg; got {output}."
        )


def _prepare(data: TraceData, n_series: int) -> TraceData:
    """z-normalised series in float32, `n_series` of each half."""
    if n_series < 20:
        raise ValueError(
            f"--n-series must be 20 or more, so that every class has its five folds; got {n_series}."
        )
    scaler = TimeSeriesScaler()
    train, test = _spread(data.y_train, n_series), _spread(data.y_test, n_series)
    return TraceData(
        scaler.fit_transform(data.X_train[train].astype(np.float32)),
        data.y_train[train],
        scaler.transform(data.X_test[test].astype(np.float32)),
        data.y_test[test],
    )


def _spread(y: Array, n: int) -> Array:
    """Indices of `n` samples, the classes taking turns, in the order of the data."""
    rank = np.empty(len(y), dtype=int)
    for label in np.unique(y):
        rank[y == label] = np.arange(np.sum(y == label))
    return np.sort(np.argsort(rank, kind="stable")[:n])


def _classify(data: TraceData, common: dict[str, Any]) -> list[Row]:
    # One cache for both searches: the SVM finds every pair there that the neighbours have compared.
    cache = PairCache(GAMMAS)
    neighbors = SoftDTWKNeighborsClassifier(n_neighbors=1, cache=cache, **common)
    kernel = SoftDTWKernel(cache=cache, random_state=0, **common)
    machine = Pipeline([("kernel", kernel), ("svc", SVC(kernel="precomputed"))])
    return [
        _search("1-NN, Euclidean distance", KNeighborsClassifier(n_neighbors=1), {}, data),
        _search("1-NN, soft-DTW divergence", neighbors, {"gamma": GAMMAS}, data),
        _search(
            "SVM, soft-DTW kernel", machine, {"kernel__gamma": GAMMAS, "svc__C": [1.0, 10.0, 100.0]}, data
        ),
    ]


def _search(method: str, estimator: Any, grid: dict[str, list[float]], data: TraceData) -> Row:
    search = GridSearchCV(estimator, grid, cv=5)
    score, seconds = _timed(lambda: search.fit(data.X_train, data.y_train).score(data.X_test, data.y_test))
    best = search.best_params_
    gamma = next((value for name, value in best.items() if name.endswith("gamma")), None)
    return Row(method, gamma, float(search.best_score_), float(score), seconds)


def _cluster(data: TraceData, n_classes: int, common: dict[str, Any]) -> tuple[SoftDTWKMeans, list[Row]]:
    # Soft-DTW itself rather than the divergence: its barycenters are smooth, which suits a picture.
    options = {"gamma": CLUSTER_GAMMA, "metric": "soft_dtw", "random_state": 0, **common}
    soft = SoftDTWKMeans(n_clusters=n_classes, **options)
    plain = KMeans(n_clusters=n_classes, n_init=10, random_state=0)
    models = [("k-means, Euclidean", plain, None), ("k-means, soft-DTW", soft, CLUSTER_GAMMA)]
    rows = []
    for method, model, gamma in models:
        _, seconds = _timed(partial(model.fit, data.X_train))
        train = adjusted_rand_score(data.y_train, model.labels_)
        test = adjusted_rand_score(data.y_test, model.predict(data.X_test))
        rows.append(Row(method, gamma, float(train), float(test), seconds))
    return soft, rows


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    begin = time.perf_counter()
    result = work()
    return result, time.perf_counter() - begin


def _print_table(header: tuple[str, ...], rows: list[Row]) -> None:
    cells = [header]
    for row in rows:
        gamma = "–" if row.gamma is None else f"{row.gamma:g}"
        cells.append((row.method, gamma, f"{row.left:.2f}", f"{row.right:.2f}", f"{row.seconds:.1f}"))
    for i, line in enumerate(cells):
        print(f"{line[0]:<34}" + "".join(f"{cell:>9}" for cell in line[1:]), flush=True)
        if i == 0:
            print("-" * 70)
    print()


if __name__ == "__main__":
    sys.exit(main())
