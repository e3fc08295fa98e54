"""The CUDA engine: the twin of ``cpu_ext``, with kernels that are compiled when they are first needed.

Nothing here imports torch or cuda before a GPU is used. `_engine` has the operators; README.md says how the
files hang together.
"""

# Cells of the tables of all pairs, n · m for each, times features: from so many on "auto" looks for a GPU. An
# estimate, until `benchmarks/gpu/run threshold` has been run on one:
#     work a second of a core x cores x seconds of a small call on a GPU
# with 5·10⁹ (measured), eight cores (fewer would gain from less), and half a millisecond, of which half is
# Python (measured) and the rest a model: `benchmarks/gpu/model.py` adds it up.
LEAST_GPU_WORK = 2e7
