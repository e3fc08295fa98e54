"""Where the scripts for a GPU are, and the tables that they write."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks" / "gpu"

needs_scripts = pytest.mark.skipif(not FOLDER.is_dir(), reason="benchmarks are not part of this checkout")


def tables(page: str) -> list[list[list[str]]]:
    """The cells of all tables of a Markdown page."""
    found: list[list[list[str]]] = [[]]
    for line in page.splitlines():
        if line.startswith("|"):
            found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        elif found[-1]:
            found.append([])
    return [table for table in found if table]


def check_tables(page: str) -> None:
    for head, rule, *rows in tables(page):
        assert rows
        assert {cell.strip(":") for cell in rule} == {"---"}
        assert {len(row) for row in (rule, *rows)} == {len(head)}
