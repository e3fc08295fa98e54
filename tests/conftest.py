"""What a test run is about, in its header; and a clear stop where the compiled engine is missing.

``pytest --engine=cuda`` runs all tests on a GPU, ``pytest --engine=emulated`` the kernels of the CUDA engine
on the host: where a test does not name the device, they take the place of the CPU engine. With a GPU the
tests of the engine on emulated devices run on the GPU too.
"""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from gpu_scripts import FOLDER

# Cells times features that are emulated, a few million a second; what is larger stays with the CPU engine.
MOST_EMULATED_WORK = 4e6


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --engine."""
    parser.addoption(
        "--engine",
        choices=["cpu", "emulated", "cuda"],
        default="cpu",
        help="what computes where a test does not name the device (default: %(default)s)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Put the engine that was asked for in the place of the one that device="auto" would find."""
    config.addinivalue_line("markers", "cpu_engine: is about the CPU engine; left out with another one")
    engine = config.getoption("--engine")
    if engine == "cpu":
        return
    from sktime_sdtw import _engine

    if engine == "cuda":
        from sktime_sdtw.cuda_ext._runtime import cuda_runtime

        runtime: Any = cuda_runtime(0)
        # Before test modules take it: tests of the engine on emulated devices run on this one.
        import cuda_emulation
        from gpu_runtime import OnGpu

        cuda_emulation.EmulatedRuntime = OnGpu  # type: ignore[misc]
    else:
        from cuda_emulation import EmulatedRuntime

        runtime = EmulatedRuntime()
    most = MOST_EMULATED_WORK if engine == "emulated" else float("inf")
    routed = _engine.runtimes_for

    def runtimes(device: Any, work: float) -> list[Any]:
        return routed(device, work) if device != "auto" else [runtime] if work <= most else []

    _engine.runtimes_for = runtimes


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip tests of the CPU engine where another one is in its place."""
    engine = config.getoption("--engine")
    for item in items:
        if engine != "cpu" and item.get_closest_marker("cpu_engine"):
            item.add_marker(pytest.mark.skip(reason=f"about the CPU engine, and --engine is {engine}"))


def pytest_report_header(config: pytest.Config) -> str:
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
    chosen = config.getoption("--engine")
    if chosen != "cpu":
        engine += f", {chosen} CUDA engine in its place"
    return f"sktime_sdtw {sktime_sdtw.__version__} from {folder}; {engine}; {torch}"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Imports a script of benchmarks/gpu by its name."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module
