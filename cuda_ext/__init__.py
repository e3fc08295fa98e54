"""The place of the CUDA engine; there is none in this release."""
