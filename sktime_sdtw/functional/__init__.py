"""Soft-DTW for PyTorch: differentiable functions of tensors. Needs torch."""

from . import _cpu as _cpu  # registers the operators
from . import _cuda as _cuda
from ._barycenter import soft_dtw_barycenter
from ._cuda_problems import capturable
from ._dilate import shape_and_time
from ._pairwise import cdist_soft_dtw, cdist_soft_dtw_divergence
from ._soft_dtw import dtw, soft_dtw, soft_dtw_alignment, soft_dtw_divergence

__all__ = [
    "capturable",
    "cdist_soft_dtw",
    "cdist_soft_dtw_divergence",
    "dtw",
    "shape_and_time",
    "soft_dtw",
    "soft_dtw_alignment",
    "soft_dtw_barycenter",
    "soft_dtw_divergence",
]
