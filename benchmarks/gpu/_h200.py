"""An H200 as the models see it: its rates, the code of a kernel for it, and the pages of what is expected."""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import _sass
from sktime_sdtw.cuda_ext._compile import Resources, compile_kernel, nvrtc_version, read_resources

ARCHITECTURE = "sm_90"

# NVIDIA H200: multiprocessors, clock under load, schedulers and registers of a multiprocessor, memory.
MULTIPROCESSORS, CLOCK, SCHEDULERS, REGISTERS, MEMORY = 132, 1.98e9, 4, 65536, 140 * 10**9
# Clocks for which an instruction of a warp keeps the pipe of its scheduler; all four share that to memory.
# Of a tensor core's 16 x 8 x 8 in 11 bits, 8: half of the peak that is published, which only wgmma reaches.
PIPE_CLOCKS = {"FMA": 1, "IMAD": 2, "ALU": 2, "MUFU": 8, "FP64": 2, "memory": 4, "tensor": 8}
PIPE_CLOCKS |= {"uniform": 1, "control": 0}
BANDWIDTH, CACHE = 4.8e12, 50 * 10**6  # bytes a second of the memory, bytes of the second-level cache
LAUNCH = 3e-6  # seconds between kernels that wait for each other on a stream: an assumption


def clocks_of(slots: int, pipes: Mapping[str, int]) -> int:
    """Of a scheduler with enough warps."""
    busy = {pipe: PIPE_CLOCKS[pipe] * count for pipe, count in pipes.items()}
    busy["FMA"] = busy.get("FMA", 0) + pipes.get("IMAD", 0)
    return max(slots, *busy.values())


def clocks(code: Sequence[_sass.Instruction]) -> int:
    """Of a scheduler with enough warps, for these instructions."""
    return clocks_of(len(code), _sass.by_pipe(code))


@functools.cache
def compiled(spec: Any) -> tuple[list[_sass.Block], Resources]:
    """The code of a kernel, and what it takes."""
    binary, log = compile_kernel(spec, ARCHITECTURE)
    code = _sass.disassemble(binary.code, _sass.find_disassembler())
    return _sass.kernel_blocks(code), read_resources(log)


# --- pages


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options of a model."""
    found = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("--folder", type=Path, default=Path(__file__).parent, help="where the results go")
    return found


def write(folder: Path, name: str, page: str, rows: list[dict[str, Any]], **parts: Any) -> None:
    """NAME.md, a page that names the machine and these parts, and NAME.json."""
    text = page.format(
        versions="NVRTC {}.{}".format(*nvrtc_version()),
        architecture=ARCHITECTURE,
        multiprocessors=MULTIPROCESSORS,
        clock=CLOCK / 1e9,
        bandwidth=BANDWIDTH / 1e12,
        **parts,
    )
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    (folder / f"{name}.json").write_text(json.dumps({"rows": rows}, indent=1) + "\n", encoding="utf-8")
