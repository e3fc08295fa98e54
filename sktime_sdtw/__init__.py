"""Soft-DTW, signatures and continuous-time warping of time series, for scikit-learn and PyTorch.

Public names are looked up on first use, so that ``import sktime_sdtw`` does no work and pulls in neither
scikit-learn nor torch.
"""

from __future__ import annotations

from pkgutil import extend_path
from typing import TYPE_CHECKING

# Python started inside a checkout finds the checkout's folder first, which has no compiled engine: with this
# it finds the engine in the installed package, and ``pip install . && python -m sktime_sdtw.demo`` works.
__path__ = extend_path(__path__, __name__)

if TYPE_CHECKING:
    from ._cache import PairCache as PairCache
    from ._discovery import all_estimators as all_estimators
    from .alignment import GDTWAligner as GDTWAligner
    from .alignment import GDTWAlignerCV as GDTWAlignerCV
    from .alignment import GDTWResult as GDTWResult
    from .alignment import apply_warp as apply_warp
    from .alignment import gdtw as gdtw
    from .alignment import max_alignment_error as max_alignment_error
    from .alignment import mean_alignment_error as mean_alignment_error
    from .alignment import time_deviation as time_deviation
    from .alignment import time_error as time_error
    from .barycenters import SoftDTWBarycenter as SoftDTWBarycenter
    from .barycenters import soft_dtw_barycenter as soft_dtw_barycenter
    from .cluster import SoftDTWKMeans as SoftDTWKMeans
    from .kernels import SoftDTWDistance as SoftDTWDistance
    from .kernels import SoftDTWKernel as SoftDTWKernel
    from .kernels import SoftDTWNystroem as SoftDTWNystroem
    from .metrics import dtw as dtw
    from .metrics import dtw_path as dtw_path
    from .metrics import gak as gak
    from .metrics import mean_cost_divergence as mean_cost_divergence
    from .metrics import median_heuristic_gamma as median_heuristic_gamma
    from .metrics import median_heuristic_sigma as median_heuristic_sigma
    from .metrics import paired_dtw as paired_dtw
    from .metrics import paired_soft_dtw as paired_soft_dtw
    from .metrics import paired_soft_dtw_divergence as paired_soft_dtw_divergence
    from .metrics import paired_soft_dtw_gradient as paired_soft_dtw_gradient
    from .metrics import pairwise_dtw as pairwise_dtw
    from .metrics import pairwise_gak as pairwise_gak
    from .metrics import pairwise_mean_cost_divergence as pairwise_mean_cost_divergence
    from .metrics import pairwise_sharp_soft_dtw_divergence as pairwise_sharp_soft_dtw_divergence
    from .metrics import pairwise_soft_dtw as pairwise_soft_dtw
    from .metrics import pairwise_soft_dtw_divergence as pairwise_soft_dtw_divergence
    from .metrics import sharp_soft_dtw_divergence as sharp_soft_dtw_divergence
    from .metrics import soft_dtw as soft_dtw
    from .metrics import soft_dtw_alignment as soft_dtw_alignment
    from .metrics import soft_dtw_divergence as soft_dtw_divergence
    from .metrics import soft_dtw_gradient as soft_dtw_gradient
    from .neighbors import SoftDTWKNeighborsClassifier as SoftDTWKNeighborsClassifier
    from .neighbors import SoftDTWKNeighborsRegressor as SoftDTWKNeighborsRegressor
    from .plot import AlignmentDisplay as AlignmentDisplay
    from .plot import BarycenterDisplay as BarycenterDisplay
    from .plot import ClusterDisplay as ClusterDisplay
    from .plot import GramDisplay as GramDisplay
    from .plot import WarpDisplay as WarpDisplay
    from .preprocessing import TimeSeriesResampler as TimeSeriesResampler
    from .preprocessing import TimeSeriesScaler as TimeSeriesScaler
    from .preprocessing import from_channels_first as from_channels_first
    from .preprocessing import from_multiindex as from_multiindex
    from .preprocessing import to_channels_first as to_channels_first
    from .preprocessing import to_multiindex as to_multiindex
    from .preprocessing import to_padded as to_padded
    from .preprocessing import to_ragged as to_ragged
    from .signatures import LogSignatureTransformer as LogSignatureTransformer
    from .signatures import SignatureKernel as SignatureKernel
    from .signatures import SignatureTransformer as SignatureTransformer

_NAMES = {
    "_cache": ["PairCache"],
    "_discovery": ["all_estimators"],
    "alignment": [
        "GDTWAligner",
        "GDTWAlignerCV",
        "GDTWResult",
        "apply_warp",
        "gdtw",
        "max_alignment_error",
        "mean_alignment_error",
        "time_deviation",
        "time_error",
    ],
    "barycenters": ["SoftDTWBarycenter", "soft_dtw_barycenter"],
    "cluster": ["SoftDTWKMeans"],
    "kernels": ["SoftDTWDistance", "SoftDTWKernel", "SoftDTWNystroem"],
    "metrics": [
        "dtw",
        "dtw_path",
        "gak",
        "mean_cost_divergence",
        "median_heuristic_gamma",
        "median_heuristic_sigma",
        "paired_dtw",
        "paired_soft_dtw",
        "paired_soft_dtw_divergence",
        "paired_soft_dtw_gradient",
        "pairwise_dtw",
        "pairwise_gak",
        "pairwise_mean_cost_divergence",
        "pairwise_sharp_soft_dtw_divergence",
        "pairwise_soft_dtw",
        "pairwise_soft_dtw_divergence",
        "sharp_soft_dtw_divergence",
        "soft_dtw",
        "soft_dtw_alignment",
        "soft_dtw_divergence",
        "soft_dtw_gradient",
    ],
    "neighbors": ["SoftDTWKNeighborsClassifier", "SoftDTWKNeighborsRegressor"],
    "plot": ["AlignmentDisplay", "BarycenterDisplay", "ClusterDisplay", "GramDisplay", "WarpDisplay"],
    "preprocessing": [
        "TimeSeriesResampler",
        "TimeSeriesScaler",
        "from_channels_first",
        "from_multiindex",
        "to_channels_first",
        "to_multiindex",
        "to_padded",
        "to_ragged",
    ],
    "signatures": ["LogSignatureTransformer", "SignatureKernel", "SignatureTransformer"],
}
_TORCH_SUBMODULES = ["functional", "nn"]  # not in __all__: importing them needs torch
_SUBMODULES = [*(name for name in _NAMES if not name.startswith("_")), "datasets"]
_HOME = {name: submodule for submodule, names in _NAMES.items() for name in names}

__all__ = sorted([*_HOME, *_SUBMODULES, "__version__"])


def __getattr__(name: str) -> object:
    import importlib

    value: object
    if name in _HOME:
        value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    elif name in _SUBMODULES or name in _TORCH_SUBMODULES:
        value = importlib.import_module(f"{__name__}.{name}")
    elif name == "__version__":
        from importlib.metadata import version

        value = version("sktime-sdtw")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value  # the next access finds it without coming here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_TORCH_SUBMODULES})
