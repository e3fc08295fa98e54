"""Registers, spills and shared memory of the CUDA kernels, from the log of the compiler. Needs no GPU.

``python benchmarks/gpu/resources.py`` prints what typical variants take. ``--all`` compiles every variant of
every kernel for every architecture, or for those that are named, in ``--jobs`` processes, and says what
exceeds its budget. What has been compiled is kept in the folder for temporary files, by the content of its
source: a run that was stopped goes on where it was, and after a change only what changed is done again.
``--turn K`` is ``--all`` for one architecture, the next one for each K: in continuous integration, where K
counts the commits, any seven of them in a row compile everything. ``--update`` writes resources.md from what
was compiled.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tests"))

from _rows import table  # noqa: E402
from cuda_variants import (  # noqa: E402
    ARCHITECTURES,
    BUDGETS,
    Budget,
    architectures,
    budget,
    product,
    resources,
    typical,
    within,
)
from sktime_sdtw.cuda_ext import _plan  # noqa: E402
from sktime_sdtw.cuda_ext._compile import CompileError, Resources, nvrtc_version  # noqa: E402
from sktime_sdtw.cuda_ext._sources import KernelSpec  # noqa: E402

# 65536 registers of a multiprocessor, handed to warps in portions of 256; 64 warps at most on sm_90.
REGISTERS, PORTION, MOST_WARPS = 65536, 256, 64
WHOLE_BLOCKS = ("ranges", "table", "tensor_table", "products")

INTRODUCTION = """\
# What the kernels take

From the log of NVRTC {version}, by `resources.py`; `tests/cuda/test_compile.py` holds them to the budget.
Nothing here was measured on a GPU.

## Typical variants

Registers of a thread for each architecture, with the bytes that spill after a +. The memory of a thread
(for the most part the room of the slow tile, which few tiles need), the memory that a block shares, and
the warps that the registers leave room for on a multiprocessor are those of sm_90.
"""

BUDGET = """\

## Budget

The most that any variant takes; in brackets the budget. Every variant of every kernel has been compiled for
{names}:
{count} compilations, of which {beyond} more than their budget.
"""


def warps(spec: KernelSpec, registers: int) -> int:
    """How many warps of a multiprocessor the registers leave room for, in whole blocks."""
    of_warp = -(-registers * 32 // PORTION) * PORTION
    usual = _plan.BLOCK_THREADS if spec.entry in WHOLE_BLOCKS else _plan.SWEEP_THREADS
    of_block = int(dict(spec.defines).get("THREADS", usual)) // 32
    return min(MOST_WARPS, REGISTERS // of_warp) // of_block * of_block


def brief(found: Resources) -> str:
    return f"{found.registers}+{found.spill_stores}" if found.spill_stores else str(found.registers)


def typical_lines() -> Iterator[str]:
    """What typical variants take."""
    yield INTRODUCTION.format(version=".".join(map(str, nvrtc_version()))).rstrip()
    rows = []
    for name, spec in typical().items():
        found = {architecture: resources(spec, architecture) for architecture in architectures(spec)}
        shown = found["sm_90"]
        rows.append(
            [
                *(name, f"`{spec.entry}`", *(brief(found[a]) if a in found else "" for a in ARCHITECTURES)),
                *(str(number) for number in (shown.stack, shown.shared, warps(spec, shown.registers))),
            ]
        )
    yield ""
    yield from table(["", "kernel", *ARCHITECTURES, "thread's memory", "shared", "warps"], rows)


def attempt(spec: KernelSpec, architecture: str) -> Resources | str:
    """What the kernel takes, or why it does not compile."""
    try:
        return resources(spec, architecture)
    except CompileError as error:
        return str(error)


@dataclass
class Product:
    """All variants of all kernels for some architectures."""

    counts: dict[str, int] = field(default_factory=dict)
    most: dict[tuple[str, str], Budget] = field(default_factory=dict)  # that any takes, by kernel and type
    beyond: list[str] = field(default_factory=list)  # their budget, or what does not compile at all

    def compile(self, names: Sequence[str], jobs: int) -> None:
        """Compile, or find what earlier runs have; says how far it is, and what is beyond its budget."""
        work = [(spec, name) for name in names for spec in product(name)]
        begin = said = time.monotonic()
        with ProcessPoolExecutor(jobs) if jobs > 1 else nullcontext() as pool:
            each = (pool.map if pool else map)(attempt, *zip(*work, strict=True))
            for done, ((spec, name), found) in enumerate(zip(work, each, strict=True), 1):
                self._note(spec, name, found)
                if time.monotonic() > said + 60 or done == len(work):
                    said = time.monotonic()
                    print(f"{done} of {len(work)} after {said - begin:.0f} s, for {name}", flush=True)

    def _note(self, spec: KernelSpec, name: str, found: Resources | str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1
        if isinstance(found, str):
            self.beyond.append(found)
            print(found, flush=True)
            return
        key = (spec.entry, dict(spec.defines)["REAL"])
        taken = (found.registers, found.spill_stores, found.shared)
        self.most[key] = Budget(*map(max, self.most.get(key, (0, 0, 0)), taken))
        if not within(found, budget(spec)):
            self.beyond.append(f"{spec} for {name}: {found}, of {budget(spec)}")
            print(self.beyond[-1], flush=True)

    def lines(self) -> Iterator[str]:
        """What the kernels take at most, and their budget."""
        yield BUDGET.format(
            names=", ".join(self.counts),
            count=f"{sum(self.counts.values()):,}",
            beyond=f"{len(self.beyond)} take" if self.beyond else "none takes",
        ).rstrip()
        rows = [
            [
                f"`{entry}`",
                real,
                *(f"{taken} ({limit})" for taken, limit in zip(self.most[entry, real], allowed, strict=True)),
            ]
            for (entry, real), allowed in BUDGETS.items()
            if (entry, real) in self.most
        ]
        yield ""
        yield from table(["kernel", "arithmetic", "registers", "spilled bytes", "shared bytes"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--all", nargs="*", metavar="ARCHITECTURE", choices=ARCHITECTURES, help="all variants")
    what.add_argument("--turn", type=int, metavar="K", help="all variants for one architecture")
    parser.add_argument("--update", action="store_true", help="write resources.md")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: %(default)s)")
    options = parser.parse_args()
    if options.all is None and options.turn is None:
        if options.update:
            parser.error("--update needs --all: the page is about all variants.")
        print("\n".join(typical_lines()))
        return
    names = options.all or ARCHITECTURES
    if options.turn is not None:
        names = [ARCHITECTURES[options.turn % len(ARCHITECTURES)]]
    everything = Product()
    everything.compile(names, options.jobs)
    if options.update:
        text = "\n".join([*typical_lines(), *everything.lines()]) + "\n"
        (HERE / "resources.md").write_text(text, encoding="utf-8")
    raise SystemExit(1 if everything.beyond else 0)


if __name__ == "__main__":
    main()
