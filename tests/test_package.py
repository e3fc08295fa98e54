"""What importing the package does, and does not do."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

import sktime_sdtw

PUBLIC = [name for name in sktime_sdtw.__all__ if not name.startswith("_")]


def run(code: str, cwd: Path) -> str:
    """Run code in a fresh interpreter, in a folder from which no checkout is imported."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_is_there(name):
    assert getattr(sktime_sdtw, name) is not None
    assert name in dir(sktime_sdtw)


def test_unknown_name_raises():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = sktime_sdtw.no_such_name


def test_import_is_silent_and_light(tmp_path):
    code = "import sys, sktime_sdtw; print(sorted({'torch', 'matplotlib', 'sklearn'} & set(sys.modules)))"
    assert run(code, tmp_path).strip() == "[]"
    assert list(tmp_path.iterdir()) == []


def test_every_name_works_without_torch_and_matplotlib(tmp_path):
    code = """
import sys

class Missing:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "matplotlib"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing)
import numpy as np, sktime_sdtw
for name in sktime_sdtw.__all__:
    getattr(sktime_sdtw, name)
rng = np.random.default_rng(0)
sktime_sdtw.SoftDTWKMeans(n_clusters=2, max_iter=2, random_state=0).fit(rng.normal(size=(6, 8)))
"""
    assert run(code, tmp_path) == ""


def test_version_is_the_distribution_version():
    assert sktime_sdtw.__version__ == importlib.metadata.version("sktime-sdtw")


def test_types_are_shipped():
    assert (Path(sktime_sdtw.__file__).parent / "py.typed").is_file()
