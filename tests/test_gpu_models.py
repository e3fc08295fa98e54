"""Models of times on a GPU, and what they rest on: machine code, launches, and what the kernels take."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest
from gpu_scripts import check_tables, needs_scripts

pytestmark = needs_scripts


def code(*lines: str) -> str:
    """What nvdisasm -c -hex prints, with a stall of two clocks for each instruction and no barriers."""
    control = (2 | 7 << 5 | 7 << 8) << 41
    printed = []
    for number, line in enumerate(lines):
        if line.endswith(":"):
            printed.append(line)
            continue
        printed.append(f"        /*{16 * number:04x}*/                   {line} ;   /* 0x000000ff00007210 */")
        printed.append(f"                                              /* 0x{control:016x} */")
    return "\n".join(printed)


LOOP = code(
    "MOV R0, RZ",
    ".L_x_0:",
    "FADD R1, R1, R2",
    "@P0 BRA `(.L_x_1)",
    "MUFU.EX2 R3, R4",  # the way that is seldom taken
    "FFMA R1, R1, R2, R3",
    "FFMA R1, R1, R2, R3",
    ".L_x_1:",
    "MUFU.EX2 R3, R4",
    "IADD3 R5, R5, 0x1, RZ",
    "@P1 BRA `(.L_x_0)",
    "EXIT",
    "$function:",
    "MUFU.EX2 R3, R4",
    "BRA `(.L_x_0)",
)


def test_the_shortest_round_of_a_loop(script: Any) -> None:
    sass = script("_sass")
    blocks = sass.kernel_blocks(sass.read(LOOP))
    short = sass.shortest_round(blocks, "MUFU", 1)
    assert [i.operation for i in short] == ["FADD", "BRA", "MUFU.EX2", "IADD3", "BRA"]
    assert sass.by_pipe(short) == {"FMA": 1, "control": 2, "MUFU": 1, "ALU": 1}
    assert sass.clocks_alone(short) == 10
    assert len(sass.shortest_round(blocks, "MUFU", 2)) == 8
    assert sass.shortest_round(blocks, "MUFU", 3) == []


def test_what_a_warp_waits_for(script: Any) -> None:
    sass = script("_sass")
    load = sass.Instruction("", "LDG.E", "R1, [R2]", stall=1, sets=0, waits=0)
    use = sass.Instruction("", "FADD", "R1, R1, R1", stall=4, sets=7, waits=1)
    assert sass.clocks_alone([load, use]) == sass.LATENCY["LDG"] + 4


def test_what_the_engine_would_launch(script: Any) -> None:
    # The model compiles with NVRTC; what it counts launches and memory with does not.
    rows = script("_rows")
    row = next(row for row in rows.ROWS if row.name == "training-32-512-64").shrunk(16)
    import sktime_sdtw

    x, y = row.series()
    recorder = script("_recorder").record(lambda: row.call(sktime_sdtw, x, y, device="cuda"))
    entries = {spec.entry for spec, *_ in recorder.launches}
    assert {"classify", "sweep", "reverse"} <= entries
    assert 0 == recorder.held < x.nbytes + y.nbytes < recorder.peak
    sweep = next(values for spec, _, _, values in recorder.launches if spec.entry == "sweep")
    assert {"groups", "max_strips", "row_begin", "row_end"} <= sweep.keys()


def test_peers_of_signatures_compute_signatures(script: Any) -> None:
    torch = pytest.importorskip("torch")
    rows = script("_signature_rows")
    x = torch.from_numpy(rows.ROWS[0].data(1000)).double()
    assert x.shape == (2, 10, 8)
    expected = rows.ROWS[0].call(x)
    for peer in (rows.tree, rows.steps):
        torch.testing.assert_close(peer(x, 3), expected)


def test_model_of_signatures(script: Any) -> None:
    pytest.importorskip("torch")
    found, specs = script("signature_model").plan(script("_signature_rows").ROWS[0])
    assert found["forward_launches"] < 20 > found["backward_launches"]
    assert found["peak_bytes"] < 2**30
    assert {spec.entry for spec in specs} >= {"signature", "signature_reverse", "signature_product"}


def test_model_of_signature_kernels(script: Any) -> None:
    pytest.importorskip("torch")
    rows, model = script("_kernel_rows"), script("kernel_model")
    row = rows.Row("small", "", 40, 64, 2)
    found = model.plan(row, lambda spec, values, row: 1.0)
    assert found["forward"] == found["forward_launches"] == 2
    assert found["both_launches"] == found["forward_launches"] + 3
    assert found["peak_bytes"] < 2**30
    assert row.cells(1) == 40 * 40 * 63 * 63


def test_model_of_warps(script: Any) -> None:
    pytest.importorskip("cuda.core")
    row = script("_warp_rows").Row("small", "", 300, 24, 1)
    found = script("warp_model").expected(row)
    assert 0 < found["forward"] < found["both"] < 1
    assert len(found["largest"]) == 3


def test_all_variants_of_all_kernels(script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cuda.core")
    resources, variants = script("resources"), importlib.import_module("cuda_variants")
    ranges = next(family for family in variants.FAMILIES if family.name == "ranges").all()
    assert set(ranges) < set(resources.product("sm_75")) < set(resources.product("sm_80"))
    broken = variants.KernelSpec.of("spans", STORE="float", REAL="double")  # WIDE and more are missing
    compiled: dict[int, Any] = {}
    for allowed, specs in ((48, ranges), (8, [*ranges, broken])):
        monkeypatch.setattr(resources, "product", lambda name, specs=specs: specs)
        monkeypatch.setattr(resources, "budget", lambda spec, most=allowed: variants.Budget(most, 0, 4096))
        compiled[allowed] = resources.Product()
        compiled[allowed].compile(["sm_80", "sm_90"], 1)
    assert (compiled[48].counts, compiled[48].beyond) == ({"sm_80": 2, "sm_90": 2}, [])
    assert 8 < compiled[48].most["ranges", "float"].registers <= 48
    assert compiled[8].counts == {"sm_80": 3, "sm_90": 3}
    assert sum("ranges" in line for line in compiled[8].beyond) == 4
    assert sum("NVRTC cannot compile spans" in line for line in compiled[8].beyond) == 2
    check_tables("\n".join(compiled[48].lines()))


def test_turns_of_the_architectures(script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    resources = script("resources")
    turns: list[str] = []
    monkeypatch.setattr(resources.Product, "compile", lambda self, names, jobs: turns.extend(names))
    for which in (*(["--turn", str(count)] for count in range(95, 109)), ["--all"], ["--all", "sm_90"]):
        monkeypatch.setattr(sys, "argv", ["resources.py", *which, "--jobs", "2"])
        with pytest.raises(SystemExit) as end:
            resources.main()
        assert end.value.code == 0
    assert turns[14:] == [*resources.ARCHITECTURES, "sm_90"]
    assert all(sorted(turns[k : k + 7]) == sorted(resources.ARCHITECTURES) for k in range(8))
