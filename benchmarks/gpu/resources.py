"""Registers, spills and shared memory of the CUDA kernels, from the log of the compiler. Needs no GPU.

``python benchmarks/gpu/resources.py`` prints the tables; ``--update`` writes them to resources.md.
``--all 3/50`` compiles the third of fifty parts of the full product, each variant for each architecture,
and says what exceeds its budget: more than fifty thousand compilations of 0.65 s, ten hours of a core in all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tests"))

from cuda_variants import (  # noqa: E402
    ARCHITECTURES,
    BUDGETS,
    FAMILIES,
    Budget,
    architectures,
    budget,
    resources,
    typical,
    within,
)
from sktime_sdtw.cuda_ext import _plan  # noqa: E402
from sktime_sdtw.cuda_ext._compile import Resources, nvrtc_version  # noqa: E402
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

The most that any compiled variant takes, on any architecture: every value of every compile-time choice, and
every pair of them, in {count} compilations. In brackets the budget.
"""


def warps(spec: KernelSpec, registers: int) -> int:
    """How many warps of a multiprocessor the registers leave room for, in whole blocks."""
    of_warp = -(-registers * 32 // PORTION) * PORTION
    usual = _plan.BLOCK_THREADS if spec.entry in WHOLE_BLOCKS else _plan.SWEEP_THREADS
    of_block = int(dict(spec.defines).get("THREADS", usual)) // 32
    return min(MOST_WARPS, REGISTERS // of_warp) // of_block * of_block


def brief(found: Resources) -> str:
    return f"{found.registers}+{found.spill_stores}" if found.spill_stores else str(found.registers)


def table(head: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield ""
    yield f"| {' | '.join(head)} |"
    yield f"| --- |{' ---: |' * (len(head) - 1)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def report() -> Iterator[str]:
    yield INTRODUCTION.format(version=".".join(map(str, nvrtc_version()))).rstrip()
    most: dict[tuple[str, str], Budget] = {}

    def note(spec: KernelSpec, found: Resources) -> None:
        key = (spec.entry, dict(spec.defines)["REAL"])
        taken = (found.registers, found.spill_stores, found.shared)
        most[key] = Budget(*map(max, most.get(key, (0, 0, 0)), taken))

    rows = []
    for name, spec in typical().items():
        found = {architecture: resources(spec, architecture) for architecture in architectures(spec)}
        shown = found["sm_90"]
        for each in found.values():
            note(spec, each)
        rows.append(
            [
                *(name, f"`{spec.entry}`", *(brief(found[a]) if a in found else "" for a in ARCHITECTURES)),
                *(str(number) for number in (shown.stack, shown.shared, warps(spec, shown.registers))),
            ]
        )
    yield from table(["", "kernel", *ARCHITECTURES, "thread's memory", "shared", "warps"], rows)

    for family in FAMILIES:
        for spec, architecture in family.covering():
            note(spec, resources(spec, architecture))
    yield BUDGET.format(count=sum(len(family.covering()) for family in FAMILIES)).rstrip()
    rows = [
        [
            f"`{entry}`",
            real,
            *(f"{taken} ({limit})" for taken, limit in zip(most[entry, real], allowed, strict=True)),
        ]
        for (entry, real), allowed in BUDGETS.items()
    ]
    yield from table(["kernel", "arithmetic", "registers", "spilled bytes", "shared bytes"], rows)


def compile_all(part: int, parts: int) -> int:
    """How many variants of a part of the full product exceed their budget; each is named."""
    jobs = [(spec, name) for family in FAMILIES for spec in family.all() for name in family.architectures]
    exceeding = 0
    for spec, architecture in jobs[part - 1 :: parts]:
        found = resources(spec, architecture)
        if not within(found, budget(spec)):
            exceeding += 1
            print(f"{spec} for {architecture}: {found}, of {budget(spec)}", flush=True)
    print(f"{len(jobs[part - 1 :: parts])} of {len(jobs)} compilations, {exceeding} beyond their budget")
    return exceeding


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--update", action="store_true", help="write resources.md")
    parser.add_argument(
        "--all", metavar="K/N", help="compile part K of N of all variants, for all architectures"
    )
    options = parser.parse_args()
    if options.all:
        part, parts = map(int, options.all.split("/"))
        raise SystemExit(1 if compile_all(part, parts) else 0)
    text = "\n".join(report()) + "\n"
    if options.update:
        (HERE / "resources.md").write_text(text, encoding="utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
