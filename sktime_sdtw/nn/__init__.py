"""Losses for PyTorch: Soft-DTW, its divergence and DILATE as modules. Needs torch."""

from ._dilate import DILATELoss
from ._loss import SoftDTWDivergenceLoss, SoftDTWLoss

__all__ = ["DILATELoss", "SoftDTWDivergenceLoss", "SoftDTWLoss"]
