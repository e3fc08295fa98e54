"""What is measured: each workload builds its data and the calls that are timed on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import _peers
import numpy as np

import sktime_sdtw as sdtw

US = "sktime-sdtw"
GAMMA = 1.0
Call = Callable[[], Any]


@dataclass
class Built:
    """The calls of one workload. contenders[US] is ours; the others are what it is compared with."""

    contenders: dict[str, Call]
    cells: float | None = None  # table cells of one call, for the rate
    check: Callable[[dict[str, Any]], dict[str, float]] | None = None  # figures from the first results
    skipped: list[str] = field(default_factory=list)


@dataclass
class Workload:
    title: str
    build: Callable[[int], Built]
    targets: dict[str, float] = field(default_factory=dict)  # contender -> the ratio to reach
    isa: str | None = None
    memory: bool = False  # also measure the peak memory of our call


def series(n: int, length: int, d: int, seed: int, dtype: str = "float32") -> np.ndarray:
    """Z-normalised random walks, (n, length, d)."""
    X = np.random.default_rng(seed).normal(size=(n, length, d)).cumsum(axis=1)
    X = (X - X.mean(axis=1, keepdims=True)) / X.std(axis=1, keepdims=True)
    return X.astype(dtype)


def compare(results: dict[str, Any]) -> dict[str, float]:
    """Return the largest difference of each other result from ours, relative to its largest value."""
    ours = np.asarray(results[US], dtype=np.float64)
    differences = {}
    for name, result in results.items():
        if name != US:
            theirs = np.asarray(result, dtype=np.float64).reshape(ours.shape)
            relative = np.abs(ours - theirs).max() / np.abs(theirs).max()
            differences[f"difference from {name}"] = float(f"{relative:.2g}")
    return differences


def collect(
    ours: Call, cells: float | None, peers: dict[str, Callable[[], Call]], check: Any = compare
) -> Built:
    """Put our call and those of the peers that are installed together."""
    built = Built({US: ours}, cells, check)
    for name, make in peers.items():
        try:
            built.contenders[name] = make()
        except ImportError as error:
            built.skipped.append(f"{name}: {error}")
    return built


def pairwise(
    n: int, length: int, d: int = 1, dtype: str = "float32", aeon: bool = True
) -> Callable[[int], Built]:
    def build(shrink: int) -> Built:
        size, steps = max(2, n // shrink), max(2, length // shrink)
        X, Y = series(size, steps, d, 0, dtype), series(size, steps, d, 1, dtype)
        peers = {"tslearn": lambda: _peers.tslearn_pairwise(X, Y, GAMMA)}
        if aeon:
            # aeon returns absolute values, so its numbers are compared by their absolute value.
            peers["aeon"] = lambda: _peers.aeon_pairwise(X, Y, GAMMA)

        def check(results: dict[str, Any]) -> dict[str, float]:
            if "aeon" in results:
                results = {**results, "aeon": np.copysign(results["aeon"], results[US])}
            return compare(results)

        return collect(lambda: sdtw.pairwise_soft_dtw(X, Y, gamma=GAMMA), size**2 * steps**2, peers, check)

    return build


def gradients(n: int, length: int, d: int) -> Callable[[int], Built]:
    def build(shrink: int) -> Built:
        size, steps = max(2, n // shrink), max(2, length // shrink)
        X, Y = series(size, steps, d, 0), series(size, steps, d, 1)

        def ours() -> np.ndarray:
            return sdtw.paired_soft_dtw_gradient(X, Y, gamma=GAMMA, wrt=("x", "y")).value

        def check(results: dict[str, Any]) -> dict[str, float]:
            return compare({name: result for name, result in results.items() if name != "tslearn"})

        peers = {
            "tslearn": lambda: _peers.tslearn_alignments(X, Y, GAMMA),
            "SoftDTW-CUDA-Torch": lambda: _peers.sdtw_cuda_torch_gradient(X, Y, GAMMA),
            "Maghoumi": lambda: _peers.maghoumi_gradient(X, Y, GAMMA),
        }
        return collect(ours, size * steps**2, peers, check)

    return build


def training_step(n: int, length: int, d: int) -> Callable[[int], Built]:
    """Build forward and backward of a loss of tensors, gradients for both of them."""

    def build(shrink: int) -> Built:
        from sktime_sdtw.nn import SoftDTWLoss

        size, steps = max(2, n // shrink), max(2, length // shrink)
        X, Y = series(size, steps, d, 0), series(size, steps, d, 1)
        ours = _peers._torch_loss(SoftDTWLoss(gamma=GAMMA, reduction="none"), X, Y)
        peers = {
            "SoftDTW-CUDA-Torch": lambda: _peers.sdtw_cuda_torch_gradient(X, Y, GAMMA),
            "Maghoumi": lambda: _peers.maghoumi_gradient(X, Y, GAMMA),
            "tslearn's torch loss": lambda: _peers.tslearn_torch_loss(X, Y, GAMMA),
        }
        return collect(ours, size * steps**2, peers)

    return build


def dilate_step(n: int, length: int) -> Callable[[int], Built]:
    """Build forward and backward of the loss of shape and time, whose gradient is a second derivative."""

    def build(shrink: int) -> Built:
        from sktime_sdtw.nn import DILATELoss

        size, steps = max(2, n // shrink), max(2, length // shrink)
        X, Y = series(size, steps, 1, 0), series(size, steps, 1, 1)
        ours = _peers._torch_loss(DILATELoss(alpha=0.5, gamma=GAMMA), X, Y)
        return collect(ours, size * steps**2, {"DILATE": lambda: _peers.dilate_step(X, Y, GAMMA)})

    return build


def tiny_step(n: int, length: int, d: int) -> Callable[[int], Built]:
    """Build a loss of tensors beside its kernel alone, for the cost of a call."""

    def build(shrink: int) -> Built:
        import torch

        from sktime_sdtw.functional import _cpu, soft_dtw

        torch.set_num_threads(1)
        x, y = (torch.from_numpy(series(n, length, d, seed)) for seed in (0, 1))
        leaf = x.clone().requires_grad_()
        value, gradient = torch.empty(n), torch.empty_like(x)
        kernel = _cpu._kernel("padded_gradient", x)
        tensors = (leaf, y, value, gradient)  # held by the call below, which knows their addresses only

        def ours() -> np.ndarray:
            leaf.grad = None
            values = soft_dtw(leaf, y, gamma=GAMMA)
            values.sum().backward()
            return values.detach().numpy()

        def alone() -> np.ndarray:
            series_x, series_y, out, slope = (tensor.data_ptr() for tensor in tensors)
            shape = (0, 0, 0, n, length, length, d)
            kernel(series_x, series_y, *shape, 0, GAMMA, 0, 1.0, 0, 0.0, True, out, slope, 0, 0, 0, 1)
            return value.numpy()

        return Built({US: ours, "its kernel alone": alone}, n * length**2, compare)

    return build


def hard_dtw(n: int, length: int) -> Callable[[int], Built]:
    def build(shrink: int) -> Built:
        size, steps = max(2, n // shrink), max(2, length // shrink)
        X = series(size, steps, 1, 0)
        peers = {
            "dtaidistance": lambda: _peers.dtaidistance_dtw(X, use_pruning=False),
            "dtaidistance, pruned": lambda: _peers.dtaidistance_dtw(X, use_pruning=True),
            "aeon": lambda: _peers.aeon_dtw(X),
            "tslearn": lambda: _peers.tslearn_dtw(X),
        }
        return collect(lambda: sdtw.pairwise_dtw(X), size * (size - 1) / 2 * steps**2, peers)

    return build


def one_pair(length: int) -> Callable[[int], Built]:
    def build(shrink: int) -> Built:
        steps = max(2, length // shrink)
        x, y = series(2, steps, 1, 0)
        peers = {"tslearn": lambda: _peers.tslearn_one_pair(x, y, GAMMA)}
        return collect(lambda: sdtw.soft_dtw(x, y, gamma=GAMMA), steps**2, peers)

    return build


def warped(n: int, length: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Four shapes on randomly warped time axes, with noise: (n, length, 1) and the number of the shape."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 4
    time = np.linspace(0, 1, length)
    knots = np.linspace(0, 1, 6)
    X = np.empty((n, length))
    for i, label in enumerate(labels):
        warp = np.cumsum(rng.uniform(0.3, 1.7, size=5))
        t = np.interp(time, knots, np.concatenate([[0], warp / warp[-1]]))
        shape = [
            np.sin(2 * np.pi * t),
            np.sin(4 * np.pi * t),
            np.where((t > 0.3) & (t < 0.6), 1.5, -0.5),
            2 * np.abs(2 * t - 1) - 1,
        ][label]
        X[i] = shape + rng.normal(scale=0.2, size=length)
    X = (X - X.mean(axis=1, keepdims=True)) / X.std(axis=1, keepdims=True)
    return X[:, :, None].astype(np.float32), labels


def barycenter(n: int, length: int, max_iter: int = 10) -> Callable[[int], Built]:
    def build(shrink: int) -> Built:
        X, _ = warped(max(4, n // shrink), max(4, length // shrink), 0)
        init = X.mean(axis=0)

        def ours() -> np.ndarray:
            return sdtw.soft_dtw_barycenter(X, gamma=GAMMA, init=init, max_iter=max_iter, tol=0.0)

        def check(results: dict[str, Any]) -> dict[str, float]:
            return {
                f"objective of {name}": float(
                    sdtw.pairwise_soft_dtw(X.astype(np.float64), np.float64(result)[None], gamma=GAMMA).sum()
                )
                for name, result in results.items()
            }

        peers = {"tslearn": lambda: _peers.tslearn_barycenter(X, init, GAMMA, max_iter)}
        return collect(ours, None, peers, check)

    return build


def k_means(n: int, length: int, k: int, seed: int) -> Callable[[int], Built]:
    def build(shrink: int) -> Built:
        from sklearn.metrics import adjusted_rand_score

        X, truth = warped(max(4 * k, n // shrink), max(4, length // shrink), 0)

        def ours() -> Any:
            # tslearn minimises soft-DTW, so we do here too; our default is the divergence.
            return sdtw.SoftDTWKMeans(n_clusters=k, gamma=GAMMA, metric="soft_dtw", random_state=seed).fit(X)

        def check(results: dict[str, Any]) -> dict[str, float]:
            figures = {}
            for name, model in results.items():
                centers = np.asarray(model.cluster_centers_, dtype=np.float64)
                D = sdtw.pairwise_soft_dtw(X.astype(np.float64), centers, gamma=GAMMA)
                figures[f"inertia of {name}"] = float(D.min(axis=1).sum())
                figures[f"Rand index of {name}"] = float(adjusted_rand_score(truth, model.labels_))
                figures[f"iterations of {name}"] = float(model.n_iter_)
            return figures

        return collect(ours, None, {"tslearn": lambda: _peers.tslearn_k_means(X, k, GAMMA, seed)}, check)

    return build


def two_threads(n: int, length: int) -> Callable[[int], Built]:
    def build(shrink: int) -> Built:
        size, steps = max(2, n // shrink), max(2, length // shrink)
        X, Y = series(size, steps, 1, 0), series(size, steps, 1, 1)
        contenders = {
            US: lambda: sdtw.pairwise_soft_dtw(X, Y, gamma=GAMMA, n_jobs=2),
            "one thread": lambda: sdtw.pairwise_soft_dtw(X, Y, gamma=GAMMA, n_jobs=1),
        }
        return Built(contenders, size**2 * steps**2, compare)

    return build


def gamma_grid(n: int, length: int, d: int) -> Callable[[int], Built]:
    def build(shrink: int) -> Built:
        size, steps = max(2, n // shrink), max(2, length // shrink)
        X = series(size, steps, d, 0)
        gammas = np.logspace(-2, 1.5, 8)
        contenders = {
            US: lambda: sdtw.pairwise_soft_dtw(X, gamma=gammas),
            "one call for each gamma": lambda: np.stack([sdtw.pairwise_soft_dtw(X, gamma=g) for g in gammas]),
            "one gamma": lambda: np.stack([sdtw.pairwise_soft_dtw(X, gamma=gammas[0])] * len(gammas)),
        }

        def check(results: dict[str, Any]) -> dict[str, float]:
            return compare({name: result for name, result in results.items() if name != "one gamma"})

        return Built(contenders, size * (size + 1) / 2 * steps**2 * len(gammas), check)

    return build


def grid_search_knn(n: int, length: int) -> Callable[[int], Built]:
    def build(shrink: int) -> Built:
        from sklearn.model_selection import GridSearchCV

        X, y = warped(max(20, n // shrink), max(4, length // shrink), 0)
        grid = {"gamma": list(np.logspace(-2, 1.5, 8))}

        def search(cache: bool) -> Any:
            pairs = sdtw.PairCache(grid["gamma"]) if cache else None
            knn = sdtw.SoftDTWKNeighborsClassifier(n_neighbors=1, metric="soft_dtw", cache=pairs)
            return GridSearchCV(knn, grid, cv=5, refit=False).fit(X, y)

        def check(results: dict[str, Any]) -> dict[str, float]:
            return {f"best accuracy of {name}": float(result.best_score_) for name, result in results.items()}

        peers: dict[str, Callable[[], Call]] = {
            "ours without cache": lambda: lambda: search(cache=False),
            "tslearn": lambda: _peers.tslearn_grid_search(X, y, grid["gamma"]),
        }
        return collect(lambda: search(cache=True), None, peers, check)

    return build


def grid_search_svc(n: int, length: int) -> Callable[[int], Built]:
    def build(shrink: int) -> Built:
        from sklearn.model_selection import GridSearchCV
        from sklearn.pipeline import Pipeline
        from sklearn.svm import SVC

        X, y = warped(max(20, n // shrink), max(4, length // shrink), 0)
        gammas = list(np.logspace(-2, 1.5, 8))

        def search(cache: bool) -> Any:
            pairs = sdtw.PairCache(gammas) if cache else None
            model = Pipeline(
                [("kernel", sdtw.SoftDTWKernel(cache=pairs)), ("svc", SVC(kernel="precomputed"))]
            )
            grid = {"kernel__gamma": gammas, "svc__C": [0.1, 1.0, 10.0]}
            return GridSearchCV(model, grid, cv=5, refit=False).fit(X, y)

        def check(results: dict[str, Any]) -> dict[str, float]:
            return {f"best accuracy of {name}": float(result.best_score_) for name, result in results.items()}

        contenders: dict[str, Call] = {
            US: lambda: search(cache=True),
            "without cache": lambda: search(cache=False),
        }
        return Built(contenders, None, check)

    return build


WORKLOADS = {
    "pairwise-128": Workload(
        "soft-DTW, 100×100 of 128, float32", pairwise(100, 128), {"tslearn": 100}, memory=True
    ),
    "pairwise-512": Workload(
        "soft-DTW, 50×50 of 512, float32", pairwise(50, 512), {"tslearn": 100}, memory=True
    ),
    "pairwise-128-f64": Workload(
        "soft-DTW, 100×100 of 128, float64", pairwise(100, 128, 1, "float64"), {"tslearn": 40}, memory=True
    ),
    "pairwise-512-f64": Workload(
        "soft-DTW, 50×50 of 512, float64", pairwise(50, 512, 1, "float64"), {"tslearn": 40}, memory=True
    ),
    "pairwise-128-v3": Workload(
        "soft-DTW, 100×100 of 128, float32, AVX2", pairwise(100, 128, aeon=False), {"tslearn": 40}, isa="v3"
    ),
    "pairwise-512-v3": Workload(
        "soft-DTW, 50×50 of 512, float32, AVX2", pairwise(50, 512, aeon=False), {"tslearn": 40}, isa="v3"
    ),
    "pairwise-128-v2": Workload(
        "soft-DTW, 100×100 of 128, float32, SSE4", pairwise(100, 128, aeon=False), isa="v2"
    ),
    "pairwise-d8": Workload(
        "soft-DTW, 20×20 of 512, 8 features, float32", pairwise(20, 512, 8), {"tslearn": 60}, memory=True
    ),
    "pairwise-d64": Workload(
        "soft-DTW, 20×20 of 512, 64 features, float32", pairwise(20, 512, 64), {"tslearn": 20}, memory=True
    ),
    "gradient-512": Workload(
        "value and both gradients, 32 pairs of 512, float32",
        gradients(32, 512, 1),
        {"tslearn": 40, "SoftDTW-CUDA-Torch": 40, "Maghoumi": 40},
        memory=True,
    ),
    "gradient-512-d8": Workload(
        "value and both gradients, 32 pairs of 512, 8 features, float32", gradients(32, 512, 8), memory=True
    ),
    "training-step": Workload(
        "loss of tensors, forward and backward, 32 pairs of 128, 8 features, float32",
        training_step(32, 128, 8),
        {"SoftDTW-CUDA-Torch": 30, "Maghoumi": 30, "tslearn's torch loss": 30},
    ),
    "dilate-step": Workload(
        "loss of shape and time, forward and backward, 32 pairs of 128, float32", dilate_step(32, 128)
    ),
    "tiny-step": Workload(
        "loss of tensors, forward and backward, 4 pairs of 32, 2 features, float32", tiny_step(4, 32, 2)
    ),
    "dtw-512": Workload(
        "DTW, 50 series of 512, float32", hard_dtw(50, 512), {"dtaidistance": 20}, memory=True
    ),
    "pair-4096": Workload(
        "soft-DTW, one pair of 4096, float32", one_pair(4096), {"tslearn": 20}, memory=True
    ),
    "barycenter": Workload(
        "barycenter, 10 iterations, 50 series of 256", barycenter(50, 256), {"tslearn": 50}
    ),
    "k-means": Workload(
        "SoftDTWKMeans, 200 series of 100, 4 clusters", k_means(200, 100, 4, 0), {"tslearn": 50}
    ),
    "threads": Workload("two threads, 50×50 of 512, float32", two_threads(50, 512), {"one thread": 1.9}),
    "gammas": Workload("eight gammas in one call, 100 series of 128, float32", gamma_grid(100, 128, 1)),
    "gammas-d64": Workload(
        "eight gammas in one call, 100 series of 128, 64 features, float32", gamma_grid(100, 128, 64)
    ),
    "grid-knn": Workload("GridSearchCV, kNN, 8 gammas, 5 folds, 60 series of 128", grid_search_knn(60, 128)),
    "grid-svc": Workload(
        "GridSearchCV, SVC, 8 gammas × 3 C, 5 folds, 100 series of 128", grid_search_svc(100, 128)
    ),
}
