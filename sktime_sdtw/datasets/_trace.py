"""The Trace data set of the UCR archive, read from the wheel of another package that carries it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .._series import Array

_FILE = Path(".cached_datasets", "Trace.npz")


class TraceData(NamedTuple):
    """What `load_trace` returns.

    Parameters
    ----------
    X_train, X_test : ndarray of shape (100, 275), float64
    y_train, y_test : ndarray of shape (100,), int64
        Classes 1 to 4.
    """

    X_train: Array
    y_train: Array
    X_test: Array
    y_test: Array


def load_trace() -> TraceData:
    """Load the UCR data set Trace: 200 series of 275 time steps, in four classes.

    The series simulate failures of instruments in a nuclear power plant. The four classes are two large
    shapes, a sudden drop and a smooth rise, each with and without a short spike or oscillation; all these
    happen at different times in different series. Euclidean distance confuses the classes, elastic distances
    do not. The arrays are read from the installed wheel of tslearn, which ships them; tslearn itself is not
    imported, and nothing is downloaded.

    Returns
    -------
    TraceData
        Named tuple ``(X_train, y_train, X_test, y_test)``, in the archive's split into 100 and 100 series.

    Raises
    ------
    ImportError
        If tslearn is not installed, or carries no such file.

    References
    ----------
    Roverso, D. (2000). Multivariate temporal classification by windowed wavelet decomposition and recurrent
    neural networks. 3rd ANS International Topical Meeting on Nuclear Plant Instrumentation, Control and
    Human-Machine Interface.

    Dau, H. A., Bagnall, A., Kamgar, K., Yeh, C.-C. M., Zhu, Y., Gharghabi, S., Ratanamahatana, C. A., Keogh,
    E. (2019). The UCR time series archive. IEEE/CAA Journal of Automatica Sinica 6(6).

    Examples
    --------
    >>> from sktime_sdtw.datasets import load_trace
    >>> X_train, y_train, X_test, y_test = load_trace()  # doctest: +SKIP
    >>> X_train.shape  # doctest: +SKIP
    (100, 275)
    """
    with np.load(_locate(), allow_pickle=False) as file:
        arrays = {name: file[name] for name in TraceData._fields}
    return TraceData(
        X_train=arrays["X_train"][:, :, 0].astype(np.float64),
        y_train=arrays["y_train"].astype(np.int64),
        X_test=arrays["X_test"][:, :, 0].astype(np.float64),
        y_test=arrays["y_test"].astype(np.int64),
    )


def _locate() -> Path:
    spec = importlib.util.find_spec("tslearn")  # finds a top-level package without running its code
    for folder in spec.submodule_search_locations or [] if spec else []:
        path = Path(folder) / _FILE
        if path.is_file():
            return path
    reason = (
        "tslearn is not installed"
        if spec is None
        else f"the installed tslearn has no file {_FILE.as_posix()}"
    )
    raise ImportError(
        f"The Trace data set comes with the tslearn package, and {reason}. Install it with: "
        "pip install sktime-sdtw[demo]"
    )
