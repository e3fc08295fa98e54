"""The CUDA engine: the twin of ``cpu_ext``, with kernels that are compiled when they are first needed.

Nothing here imports torch or cuda before a GPU is used. `_engine` has the operators; README.md says how the
files hang together.
"""

# Cells of the tables of all pairs, n · m for each, times features: from so many on "auto" looks for a GPU. A
# CPU core fills about 2·10⁹ cells a second, and one trip to a GPU costs about a millisecond: an estimate, for
# the benchmarks on a GPU to correct.
LEAST_GPU_WORK = 2e7
