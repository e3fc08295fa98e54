"""Distances, divergences and kernels between time series: plain functions, NumPy in, NumPy out."""

from ._divergence import (
    mean_cost_divergence,
    paired_soft_dtw_divergence,
    pairwise_mean_cost_divergence,
    pairwise_sharp_soft_dtw_divergence,
    pairwise_soft_dtw_divergence,
    sharp_soft_dtw_divergence,
    soft_dtw_divergence,
)
from ._dtw import dtw, dtw_path, paired_dtw, pairwise_dtw
from ._gak import gak, median_heuristic_gamma, median_heuristic_sigma, pairwise_gak
from ._soft_dtw import (
    paired_soft_dtw,
    paired_soft_dtw_gradient,
    pairwise_soft_dtw,
    soft_dtw,
    soft_dtw_alignment,
    soft_dtw_gradient,
)

__all__ = [
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
]
