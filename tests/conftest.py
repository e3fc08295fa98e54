"""What a test run is about, in its header; and a clear stop where the compiled engine is missing."""

from __future__ import annotations

import importlib.util
import platform
from pathlib import Path

import pytest


def pytest_report_header() -> str:
    """Say which package, engine and torch are tested."""
    import sktime_sdtw

    folder = Path(sktime_sdtw.__file__).parent
    try:
        from sktime_sdtw import _core
    except ImportError as error:
        raise pytest.UsageError(
            f"sktime_sdtw is imported from {folder}, which has no compiled engine ({error}). Install the "
            "package (pip install '.[test]') and run 'pytest' in the environment where it is installed; "
            "'python -m pytest' puts the checkout in front of an installed package."
        ) from error
    torch = "with torch" if importlib.util.find_spec("torch") else "without torch"
    engine = f"CPU engine {_core.instruction_set()} on {platform.machine()}"
    return f"sktime_sdtw {sktime_sdtw.__version__} from {folder}; {engine}; {torch}"
