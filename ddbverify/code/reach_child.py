"""The child of `ddbverify.code.reach`: imports what it is asked to, and says which files came in."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ddbverify.code.below import python_files
from ddbverify.code.places import OURS, is_environment
from ddbverify.code.reach import Walk, existing, place_of


def main(asked: Mapping[str, Any]) -> None:
    """
    Import, then print place -> file as JSON.

    Args:
        asked: ``modules`` by name, or ``folder`` with check files; ``own``: top-level packages that count as
            the user's wherever they are installed.
    """
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what is imported may print
    for module in asked.get("modules", ()):
        _try(lambda: importlib.import_module(module))  # noqa: B023 - called at once
    if "folder" in asked:
        _import_files(Path(asked["folder"]))
    came_in = _came_in(set(asked.get("own", ())))
    answer.write(json.dumps({place: str(file) for place, file in came_in.items()}))
    answer.flush()
    os._exit(0)  # what was imported may have started threads


def _try(load: Any) -> None:
    try:
        load()
    # An import runs the user's code: whatever it raises, `pytest.skip` and `sys.exit` among it, what came in
    # up to there counts. The run itself says what does not load.
    except BaseException:  # noqa: BLE001
        return


def _import_files(folder: Path) -> None:
    """As pytest does: every ``conftest.py`` first, its folder on the path, then the checks."""
    files = python_files(folder)
    for file in files:
        if file.name == "conftest.py":
            sys.path.insert(0, str(file.parent))
            _try(lambda: _load(file))  # noqa: B023
    for file in files:
        if file.name.startswith(("check_", "test_")):
            _try(lambda: _load(file))  # noqa: B023


def _load(file: Path) -> None:
    spec = importlib.util.spec_from_file_location(f"ddbverify_reach_{file.stem}", file)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)


def _came_in(own: set[str]) -> dict[str, Path]:
    """The user's modules that are loaded, and those that their functions would import later."""
    walk = Walk(own=frozenset(own))
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        file = getattr(module, "__file__", None) or getattr(spec, "origin", None)
        path = existing(file) if isinstance(file, str) else None
        path = path.absolute() if path is not None else None
        top = name.partition(".")[0]
        if path is None or top in OURS or name == "__main__" or name.startswith("ddbverify_reach_"):
            continue
        if is_environment(str(path)) and top not in own:
            continue
        is_package = getattr(spec, "submodule_search_locations", None) is not None
        walk.files[place_of(name, path, is_package=is_package)] = path
        if path.suffix == ".py":
            walk.text(path, name, is_package=is_package)
    return walk.files
