"""The CUDA engine: the twin of ``cpu_ext``, with kernels that are compiled when they are first needed.

Nothing here imports torch or cuda before a GPU is used. `_engine` has the operators; README.md says how the
files hang together.
"""
