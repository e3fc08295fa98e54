"""Machine code of NVIDIA GPUs in numbers: which pipes a loop keeps busy, how long one warp takes for it."""

from __future__ import annotations

import heapq
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

MUFU = {"MUFU", "F2F", "I2F", "F2I", "FRND", "POPC", "FLO"}
MEMORY = {"LDG", "STG", "SHFL", "LDS", "STS", "LDL", "STL", "LD", "ST", "ATOMG", "ATOMS", "RED", "S2R", "LDC"}
CONTROL = {"BRA", "BSSY", "BSYNC", "WARPSYNC", "EXIT", "CALL", "RET", "YIELD", "NOP", "BREAK", "BAR", "CCTL"}
CONTROL |= {"NANOSLEEP", "MEMBAR", "ERRBAR", "DEPBAR"}
FMA = {"FFMA", "FMUL", "FADD"}
MULTIPLY = {"IMAD", "HFMA2"}  # IMAD.MOV and HFMA2.MMA are how the compiler moves numbers beside the ALU
TENSOR = {"HMMA", "IMMA", "DMMA", "BMMA"}
FP64 = {"DFMA", "DADD", "DMUL", "DSETP"}

PIPES = ("FMA", "IMAD", "ALU", "MUFU", "memory", "FP64", "tensor", "uniform", "control")

# Clocks until the result of an instruction can be used, where the code waits for it by a barrier rather than
# by a count of its own: about what is published for this generation; loads from the first-level cache.
LATENCY = {"LDG": 40, "LD": 40, "LDL": 40, "LDS": 30, "SHFL": 24, "ATOMG": 300}
OTHER_LATENCY = 20


@dataclass(frozen=True)
class Instruction:
    """One instruction; `stall`, `sets` and `waits` are what the compiler wrote into it for the scheduler."""

    predicate: str
    operation: str
    arguments: str
    stall: int
    sets: int  # barrier that is set until the result is there, or 7
    waits: int  # bits of the barriers that must be free

    @property
    def name(self) -> str:
        """The operation without its modifiers."""
        return self.operation.split(".")[0]

    @property
    def pipe(self) -> str:
        """What executes it."""
        if self.name in MUFU:
            return "MUFU"
        if self.name in MEMORY:
            return "memory"
        if self.name in CONTROL:
            return "control"
        if self.name in FMA:
            return "FMA"
        if self.name in MULTIPLY:
            return "IMAD"
        if self.name in FP64:
            return "FP64"
        if self.name in TENSOR:
            return "tensor"
        if self.name.startswith("U") or self.name in ("R2UR", "S2UR", "VOTEU"):
            return "uniform"
        return "ALU"


@dataclass
class Block:
    """Instructions without a jump or a label among them."""

    labels: list[str] = field(default_factory=list)
    code: list[Instruction] = field(default_factory=list)


def find_disassembler() -> str:
    """Path of nvdisasm: on the PATH, in a toolkit, or in the wheel nvidia-cuda-nvdisasm."""
    found = os.environ.get("NVDISASM") or shutil.which("nvdisasm")
    places = [Path("/usr/local/cuda/bin/nvdisasm")]
    for folder in sys.path:
        places += Path(folder or ".").glob("nvidia/*/bin/nvdisasm")
    for place in places:
        found = found or (str(place) if place.is_file() else None)
    if not found:
        raise SystemExit("nvdisasm is not there: pip install nvidia-cuda-nvdisasm, or set NVDISASM.")
    return found


def disassemble(cubin: bytes, disassembler: str) -> list[Block]:
    """The blocks of a cubin in the order of their addresses."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        done = subprocess.run(
            [disassembler, "-c", "-hex", file.name], check=True, capture_output=True, text=True
        )
    return read(done.stdout)


def read(text: str) -> list[Block]:
    """The blocks in what nvdisasm -c -hex prints."""
    line_of_code = re.compile(
        r"\s+/\*[0-9a-f]+\*/\s+(?:(@!?U?P\w+)\s+)?([A-Z][A-Z0-9_.]*)\s*([^;]*?)\s*;\s*/\* 0x[0-9a-f]+ \*/"
    )
    blocks, pending = [Block()], None
    for line in text.splitlines():
        label = re.match(r"(\.L_x_\d+|\$\S+):", line)
        if label:
            if blocks[-1].code:
                blocks.append(Block())
            blocks[-1].labels.append(label[1])
            continue
        found = line_of_code.match(line)
        if found:
            pending = found
            continue
        second = re.match(r"\s+/\* 0x([0-9a-f]{16}) \*/\s*$", line)
        if second and pending:
            control = int(second[1], 16) >> 41
            instruction = Instruction(
                pending[1] or "",
                pending[2],
                pending[3],
                control & 15,
                control >> 5 & 7,
                control >> 11 & 63,
            )
            blocks[-1].code.append(instruction)
            if instruction.name in ("BRA", "EXIT", "RET", "CALL", "BRX"):
                blocks.append(Block())
            pending = None
    return [block for block in blocks if block.code]


def successors(blocks: list[Block]) -> list[list[int]]:
    """Where control goes on after each block. Lanes that part for a moment (BRA.DIV) are left out."""
    places = {label: k for k, block in enumerate(blocks) for label in block.labels}
    result: list[list[int]] = []
    for k, block in enumerate(blocks):
        last, after = block.code[-1], [k + 1] if k + 1 < len(blocks) else []
        if last.name == "BRA" and not last.operation.startswith("BRA.DIV"):
            target = re.search(r"`\(([^)]+)\)", last.arguments)
            jump = [places[target[1]]] if target and target[1] in places else []
            always = not last.predicate and not re.match(r"!?U?P\d", last.arguments)
            result.append(jump if always else jump + after)
        elif last.name in ("EXIT", "RET") and not last.predicate:
            result.append([])
        else:
            result.append(after)
    return result


def kernel_blocks(blocks: list[Block]) -> list[Block]:
    """Those of the kernel itself, without functions that it calls."""
    for k, block in enumerate(blocks):
        if any(label.startswith("$") for label in block.labels):
            return blocks[:k]
    return blocks


def shortest_round(
    blocks: list[Block], counted: str, needed: int, also: str = "", loads: int = 0
) -> list[Instruction]:
    """The shortest way round a loop with `needed` instructions that match `counted`; empty: there is none.

    And with so many `loads` beside that match `also`.
    """
    if also:
        many = 1000  # loads alone never make up for what is counted
        return _shortest(
            blocks,
            lambda i: many * bool(re.match(counted, i)) + bool(re.match(also, i)),
            many * needed + loads,
        )
    return _shortest(blocks, lambda i: bool(re.match(counted, i)), needed)


def _shortest(blocks: list[Block], count_of: Callable[[str], int], needed: int) -> list[Instruction]:
    following = successors(blocks)
    weights = [len(block.code) for block in blocks]
    counts = [sum(count_of(i.operation) for i in block.code) for block in blocks]
    heads = sorted({to for k, nexts in enumerate(following) for to in nexts if to <= k})
    best: tuple[int, tuple[int, ...]] | None = None
    for head in heads:
        queue = [(weights[head], head, min(needed, counts[head]), (head,))]
        seen: set[tuple[int, int]] = set()
        while queue:
            length, at, count, way = heapq.heappop(queue)
            if (at, count) in seen:
                continue
            seen.add((at, count))
            if best is not None and length >= best[0]:
                break
            for to in following[at]:
                if to == head and count >= needed:
                    best = (length, way) if best is None or length < best[0] else best
                elif to != head:
                    heapq.heappush(
                        queue, (length + weights[to], to, min(needed, count + counts[to]), (*way, to))
                    )
    return [i for k in best[1] for i in blocks[k].code] if best else []


def densest_loop(blocks: list[Block], counted: str) -> list[Instruction]:
    """The loop without branches in which the largest share of the instructions match `counted`."""
    best: list[Instruction] = []
    share = 0.0
    for k, nexts in enumerate(successors(blocks)):
        if k not in nexts:
            continue
        code = blocks[k].code
        count = sum(bool(re.match(counted, i.operation)) for i in code)
        if count >= 2 and count / len(code) > share:
            best, share = code, count / len(code)
    return best


def by_pipe(code: Iterable[Instruction]) -> Counter[str]:
    """How many instructions each pipe executes."""
    return Counter(instruction.pipe for instruction in code)


def clocks_alone(code: list[Instruction], rounds: int = 4) -> int:
    """Clocks of one round through a loop for a warp that has its scheduler to itself.

    In order, one instruction after the count of clocks that the compiler set, and not before the results that
    it waits for are there.
    """
    now, free, start = 0, [0] * 8, 0
    for _ in range(rounds):
        start = now
        for instruction in code:
            for barrier in range(6):
                if instruction.waits >> barrier & 1:
                    now = max(now, free[barrier])
            if instruction.sets < 6:
                latency = LATENCY.get(instruction.name, OTHER_LATENCY)
                free[instruction.sets] = max(free[instruction.sets], now + latency)
            now += max(1, instruction.stall)
    return now - start
