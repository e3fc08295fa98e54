"""Averages of time series under Soft-DTW."""

from ._barycenter import soft_dtw_barycenter
from ._estimator import SoftDTWBarycenter

__all__ = ["SoftDTWBarycenter", "soft_dtw_barycenter"]
