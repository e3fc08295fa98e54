"""The list of public names, and of estimators."""

from __future__ import annotations

import ast
from pathlib import Path

from sklearn.base import BaseEstimator

import sktime_sdtw


def test_type_checkers_see_what_users_see():
    tree = ast.parse(Path(sktime_sdtw.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.asname: node.module for node in block.body for alias in node.names}
    assert seen == sktime_sdtw._HOME


def test_all_estimators():
    found = sktime_sdtw.all_estimators()
    assert found == sorted(found)
    for name, estimator in found:
        assert issubclass(estimator, BaseEstimator)
        assert estimator.__name__ == name
        assert getattr(sktime_sdtw, name) is estimator
    public = [getattr(sktime_sdtw, name) for name in sktime_sdtw._HOME]
    estimators = [value for value in public if isinstance(value, type) and issubclass(value, BaseEstimator)]
    assert {estimator for _, estimator in found} == set(estimators)
