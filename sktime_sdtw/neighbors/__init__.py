"""Nearest neighbours of time series: classification and regression."""

from ._classification import SoftDTWKNeighborsClassifier
from ._regression import SoftDTWKNeighborsRegressor

__all__ = ["SoftDTWKNeighborsClassifier", "SoftDTWKNeighborsRegressor"]
