"""Pictures of alignments, barycenters, clusters, Gram matrices and warps, as Display classes."""

from ._alignment import AlignmentDisplay
from ._barycenter import BarycenterDisplay
from ._cluster import ClusterDisplay
from ._gram import GramDisplay
from ._warp import WarpDisplay

__all__ = ["AlignmentDisplay", "BarycenterDisplay", "ClusterDisplay", "GramDisplay", "WarpDisplay"]
