"""Fixtures of the signature tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def run_python(tmp_path):
    """Run code in a process of its own, away from the checkout; returns what it writes."""

    def run(code, **environment):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            cwd=tmp_path,
            env={**os.environ, **environment},
        )
        if b"this machine has" in done.stderr:
            pytest.skip("this machine lacks the instruction set")
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    return run
