"""What the first call of a process does on the host besides starting kernels: it may take 50 ms in all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CALL = """
import sys
from pathlib import Path
import numpy as np
import pytest
sys.path.insert(0, {tests!r})
import fake_gpu
import sktime_sdtw as sdtw
from sktime_sdtw import _engine

sdtw.{function}
_engine._check_values = lambda *_: None
x = np.ones((3, 20, {features}), np.float32)
with fake_gpu.plugged_in(pytest.MonkeyPatch(), Path({folder!r})):
    known = set(sys.modules)
    sdtw.{function}(x, x[::-1], device="cuda:0")
    print(*sorted(set(sys.modules) - known))
"""


@pytest.mark.parametrize(
    ("function", "features"), [("pairwise_soft_dtw", 1), ("paired_soft_dtw_gradient", 64)]
)
def test_nothing_but_the_engine_is_imported(tmp_path: Path, function: str, features: int) -> None:
    tests = str(Path(__file__).parent.parent)
    code = CALL.format(tests=tests, function=function, features=features, folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    imported = done.stdout.split()
    assert "sktime_sdtw.cuda_ext._engine" in imported
    small = ("sktime_sdtw.cuda_ext.", "importlib.", "concurrent.futures.")
    assert [name for name in imported if not name.startswith(small)] == []
