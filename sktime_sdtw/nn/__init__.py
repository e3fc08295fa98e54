"""Losses for PyTorch: Soft-DTW and its divergence as modules. Needs torch."""

from ._loss import SoftDTWDivergenceLoss, SoftDTWLoss

__all__ = ["SoftDTWDivergenceLoss", "SoftDTWLoss"]
