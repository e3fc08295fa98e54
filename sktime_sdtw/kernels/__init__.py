"""Transformers to kernel features and distances: Gram matrices, landmarks, distances to the fitted series."""

from ._distance import SoftDTWDistance
from ._kernel import SoftDTWKernel
from ._nystroem import SoftDTWNystroem

__all__ = ["SoftDTWDistance", "SoftDTWKernel", "SoftDTWNystroem"]
