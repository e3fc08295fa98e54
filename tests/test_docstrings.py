"""The examples in the docstrings run, on the package as it is imported, and the docstrings are complete."""

from __future__ import annotations

import doctest
import importlib.util
import inspect
import pkgutil
from pathlib import Path

import pytest

import sktime_sdtw

# demo is a program: it reads real data and takes its time.
MODULES = sorted(
    module.name
    # Not __path__, which in an editable installation holds the folder of the project too.
    for module in pkgutil.walk_packages([str(Path(sktime_sdtw.__file__).parent)], "sktime_sdtw.")
    if module.name.rsplit(".", 1)[-1] not in {"_core", "__main__", "demo"}
)
GUIDE = Path(__file__).parent.parent / "docs" / "guide"
PUBLIC = [name for name in sktime_sdtw.__all__ if not name.startswith("_")]


@pytest.mark.parametrize("name", ["sktime_sdtw", *MODULES])
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        pytest.skip("needs torch")
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    results = doctest.testmod(module, optionflags=flags, verbose=False, report=True)
    assert results.failed == 0, f"{results.failed} of {results.attempted} examples failed; see the output"


@pytest.mark.parametrize("name", PUBLIC)
def test_public_docstring_has_its_sections(name):
    thing = getattr(sktime_sdtw, name)
    text = inspect.getdoc(thing) or ""
    assert text, f"{name} has no docstring"
    if not callable(thing):
        return
    assert ">>>" in text, f"{name} has no example"
    parameters = [p for p in inspect.signature(thing).parameters.values() if p.kind is not p.VAR_KEYWORD]
    if parameters:
        assert "Parameters\n----------" in text
    missing = [p.name for p in parameters if p.name not in text]
    assert not missing, f"{name} does not describe {missing}"


@pytest.mark.parametrize("path", sorted(GUIDE.glob("*.rst")), ids=lambda path: path.stem)
def test_guide(path):
    results = doctest.testfile(str(path), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert results.failed == 0, f"{results.failed} of {results.attempted} examples failed; see the output"


def test_api_reference_lists_every_public_name():
    lines = {line.strip() for line in (GUIDE.parent / "api.rst").read_text().splitlines()}
    modules = {name for name in PUBLIC if inspect.ismodule(getattr(sktime_sdtw, name))}
    assert set(PUBLIC) - modules <= lines
    if importlib.util.find_spec("torch"):
        modules |= {"functional", "nn"}
    for module in sorted(modules):
        names = getattr(sktime_sdtw, module).__all__
        assert not [name for name in names if name not in lines and f"{module}.{name}" not in lines]


def test_readme_example():
    page = (GUIDE.parent.parent / "README.md").read_text()
    code = page.split("```python\n")[1].split("```")[0]
    names: dict[str, object] = {}
    exec(code, names)
    assert names["D"].shape == (60, 60)
    assert names["accuracy"] == 1.0
