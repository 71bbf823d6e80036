"""Each situation of docs/field-reports.md names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_each_row_names_tests_that_exist():
    text = (ROOT / "docs" / "field-reports.md").read_text(encoding="utf-8")
    rows = [
        line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| situation")
    ]
    assert rows
    for row in rows:
        named = re.findall(r"`(tests/[^`]+)::(test_[a-z0-9_]+)`", row)
        assert named, row
        for path, name in named:
            found = ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8")))
            assert name in {one.name for one in found if isinstance(one, ast.FunctionDef)}, f"{path}::{name}"
