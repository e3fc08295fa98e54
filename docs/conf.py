"""Configuration of the documentation."""

from __future__ import annotations

import importlib.metadata
import warnings
from pathlib import Path

project = "sktime-sdtw"
author = "The sktime-sdtw developers"
copyright = "2026, the sktime-sdtw developers"
release = version = importlib.metadata.version("sktime-sdtw")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
rst_prolog = ".. currentmodule:: sktime_sdtw\n"
exclude_patterns = ["_build", "images"]
default_role = "py:obj"  # a link where there is such a name

html_theme = "furo"
html_title = f"sktime-sdtw {release}"
html_theme_options = {"navigation_with_keys": True}
html_static_path = ["_static"]
html_css_files = ["wide.css"]

templates_path = ["_templates"]
autosummary_generate = True
autosummary_imported_members = True
# Where file names do not tell capitals from small letters, a module would lie in the place of its function.
autosummary_filename_map = {
    f"sktime_sdtw.signatures.{name}": f"sktime_sdtw.signatures.{name}_module"
    for name in ("Signature", "LogSignature")
}
autodoc_typehints = "none"  # numpydoc's sections say it better
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

sphinx_gallery_conf = {
    "examples_dirs": str(Path(__file__).parent.parent / "examples"),
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"plot_",
    "abort_on_example_error": True,
    "show_memory": False,
    "download_all_examples": False,
    "show_signature": False,
    "plot_gallery": "True",
}

# No intersphinx: the build needs no network. matplotlib warns of plt.show() without a screen.
warnings.filterwarnings("ignore", message=".*FigureCanvasAgg is non-interactive.*")
suppress_warnings = [
    "config.cache",  # sphinx-gallery's configuration holds things that cannot be pickled
    "ref.ref",  # methods inherited from scikit-learn refer to its own pages
]
