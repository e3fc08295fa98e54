"""Series to try things on: generators whose structure is known, and one real data set."""

from ._synthetic import make_cylinder_bell_funnel, make_stretched, make_warped
from ._trace import TraceData, load_trace

__all__ = ["TraceData", "load_trace", "make_cylinder_bell_funnel", "make_stretched", "make_warped"]
