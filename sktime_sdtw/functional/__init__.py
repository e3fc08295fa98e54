"""Soft-DTW for PyTorch: differentiable functions of tensors. Needs torch."""

from . import _cpu as _cpu  # registers the operators
from ._soft_dtw import soft_dtw, soft_dtw_alignment, soft_dtw_divergence

__all__ = ["soft_dtw", "soft_dtw_alignment", "soft_dtw_divergence"]
