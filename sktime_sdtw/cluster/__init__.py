"""Clustering of time series under Soft-DTW."""

from ._k_means import SoftDTWKMeans

__all__ = ["SoftDTWKMeans"]
