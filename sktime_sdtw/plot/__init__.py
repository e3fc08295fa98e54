"""Pictures of alignments, barycenters, clusters and Gram matrices, as scikit-learn's Display classes."""

from ._alignment import AlignmentDisplay
from ._barycenter import BarycenterDisplay
from ._cluster import ClusterDisplay
from ._gram import GramDisplay

__all__ = ["AlignmentDisplay", "BarycenterDisplay", "ClusterDisplay", "GramDisplay"]
