"""The CUDA source of a kernel: one string without any include, so that NVRTC needs no headers to be found."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

# Each builds on those before it. They are pasted rather than included: NVRTC then needs no search path, and
# what is compiled is exactly what the key of the disk cache is made of.
HEADERS = ("warp.cuh", "scaled.cuh", "costs.cuh", "pairs.cuh", "tile.cuh")
# Kernels of other families, by how their names begin.
OTHER_HEADERS = {
    "gdtw": (
        "warp.cuh",
        "gdtw_problem.cuh",
        "gdtw_objective.cuh",
        "gdtw_curves.cuh",
        "gdtw_chain.cuh",
        "gdtw_reduced.cuh",
        "gdtw_polish.cuh",
        "gdtw_grid.cuh",
        "gdtw_setup.cuh",
    ),
    "signature_kernel": ("warp.cuh", "signature_kernel.cuh"),  # before the one that it begins like
    "signature": ("warp.cuh", "signature.cuh"),
}


def headers_of(entry: str) -> tuple[str, ...]:
    """The headers that a kernel is compiled with."""
    return next((found for prefix, found in OTHER_HEADERS.items() if entry.startswith(prefix)), HEADERS)


@dataclass(frozen=True)
class KernelSpec:
    """One kernel with its compile-time choices.

    Parameters
    ----------
    entry : str
        Name of the ``extern "C" __global__`` function and of its file, ``kernels/<entry>.cu``.
    defines : tuple of (name, value)
        Preprocessor definitions, sorted by name: ``-Dname=value``.

    Examples
    --------
    >>> KernelSpec.of("sweep", STORE="float", DIM=3).defines
    (('DIM', '3'), ('STORE', 'float'))
    """

    entry: str
    defines: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        names = [name for name, _ in self.defines]
        if names != sorted(set(names)):
            raise ValueError(f"defines must be sorted, each name once. Got {self.defines!r}.")

    @classmethod
    def of(cls, entry: str, **defines: str | int) -> KernelSpec:
        """The specification with these definitions, in whatever order they are named."""
        return cls(entry, tuple(sorted((name, str(value)) for name, value in defines.items())))

    def parts(self) -> list[tuple[str, str]]:
        """(file name, text) of what the kernel is made of, in the order of compilation."""
        folder = files(__package__) / "kernels"
        names = (*headers_of(self.entry), f"{self.entry}.cu")
        return [(name, (folder / name).read_text(encoding="utf-8")) for name in names]

    def source(self) -> str:
        """The text to compile; ``#line`` keeps the names and lines of the files in error messages."""
        return "".join(f'#line 1 "{name}"\n{text}\n' for name, text in self.parts())

    def __str__(self) -> str:
        return f"{self.entry}({', '.join(f'{name}={value}' for name, value in self.defines)})"
