"""A list of the estimators, for tests and documentation."""

from __future__ import annotations

import importlib

_SUBMODULES = (
    "alignment",
    "barycenters",
    "cluster",
    "kernels",
    "neighbors",
    "preprocessing",
    "signatures",
)


def all_estimators() -> list[tuple[str, type]]:
    """Names and classes of all estimators of this package, by name.

    Returns
    -------
    list of (str, type)

    Examples
    --------
    >>> from sktime_sdtw import all_estimators
    >>> "SoftDTWKMeans" in dict(all_estimators())
    True
    """
    from sklearn.base import BaseEstimator

    found = {}
    for submodule in _SUBMODULES:
        module = importlib.import_module(f"sktime_sdtw.{submodule}")
        for name in module.__all__:
            value = getattr(module, name)
            if isinstance(value, type) and issubclass(value, BaseEstimator):
                found[name] = value
    return sorted(found.items())
