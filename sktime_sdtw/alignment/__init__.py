"""Continuous-time warping: the optimal warp of one signal onto another, as functions and estimators."""

from ._aligner import GDTWAligner
from ._aligner_cv import GDTWAlignerCV
from ._apply import apply_warp
from ._gdtw import gdtw
from ._path_losses import max_alignment_error, mean_alignment_error, time_deviation, time_error
from ._result import GDTWResult

__all__ = [
    "GDTWAligner",
    "GDTWAlignerCV",
    "GDTWResult",
    "apply_warp",
    "gdtw",
    "max_alignment_error",
    "mean_alignment_error",
    "time_deviation",
    "time_error",
]
