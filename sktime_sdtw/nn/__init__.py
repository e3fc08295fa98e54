"""Modules for PyTorch: Soft-DTW, its divergence and DILATE as losses, alignment as a layer. Needs torch."""

from ._dec_dtw import DecDTW
from ._dilate import DILATELoss
from ._loss import SoftDTWDivergenceLoss, SoftDTWLoss

__all__ = ["DILATELoss", "DecDTW", "SoftDTWDivergenceLoss", "SoftDTWLoss"]
