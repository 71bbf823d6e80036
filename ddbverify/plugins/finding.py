"""Where plugins come from: entry points that are installed, and the ``conftest.py`` of a folder of checks."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Final

from ddbverify.code.imports import words_of_an_import
from ddbverify.config_checks import PLUGIN_NAME
from ddbverify.errors import ConfigurationError
from ddbverify.plugins.fitting import PREFIX
from ddbverify.plugins.hookspecs import PROJECT

CONFTEST: Final = "conftest.py"


def entry_points() -> dict[str, EntryPoint]:
    """
    Every entry point of our group by name; none of them is imported.

    Raises:
        ConfigurationError: Two have one name, or a name is none that can stand in evidence.
    """
    found: dict[str, EntryPoint] = {}
    for entry_point in sorted(importlib.metadata.entry_points(group=PROJECT), key=lambda one: one.name):
        name = entry_point.name
        if not re.fullmatch(PLUGIN_NAME, name) or name == PROJECT:
            raise ConfigurationError(
                f"An installed plugin has the name {name[:100]!r}.",
                f"plugins are named with letters, digits, '-' and '_', and not {PROJECT!r}; uninstall it.",
            )
        if name in found and found[name].value != entry_point.value:
            raise ConfigurationError(
                f"Two installed plugins have the name {name}: {found[name].value} and {entry_point.value}.",
                "uninstall one of them.",
            )
        found[name] = entry_point
    return found


def conftest_module(checks: Path) -> ModuleType | None:
    """
    The ``conftest.py`` of a folder of checks, imported; ``None`` where it cannot implement a hook.

    For commands without pytest. One that does not so much as name a hook is not run.

    Raises:
        ConfigurationError: It does not load.
    """
    file = checks / CONFTEST
    if not file.is_file() or PREFIX.encode() not in file.read_bytes():
        return None
    if str(checks) not in sys.path:
        sys.path.insert(0, str(checks))  # as pytest does
    name = f"ddbverify_conftest_{hashlib.sha256(bytes(file)).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{file} is not a Python file.", "make it one, or remove it.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    # An import runs the user's code; whatever it raises, its hooks cannot be used.
    except (Exception, SystemExit) as error:  # noqa: BLE001 - its type and place are told
        del sys.modules[name]
        text = words_of_an_import(error)
        raise ConfigurationError(
            f"{file} does not load: {type(error).__name__}" + (f": {text}." if text else "."),
            f"mend it (`python {file.name}` says more), or take the hooks (ddbverify_*) out of it.",
        ) from None
    return module
