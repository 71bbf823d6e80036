"""Plugins of pytest that the text of a check imports, and that this session has not loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from ddbverify.errors import Inconclusive
from ddbverify.plugins.finding import CONFTEST
from ddbverify.plugins.of_pytest import NOT_NEEDED, PytestPlugin, canonical, imported_by
from ddbverify.session.pytest.items import CHECKING, checking_of

_IMPORTED = pytest.StashKey[dict[Path, list[PytestPlugin]]]()
"""Of the session: what each file of checks imports."""


def require_its_plugins(item: pytest.Item) -> None:
    """
    Refuse to run a check that may call what does nothing without its plugin.

    Raises:
        Inconclusive: Its file, or a ``conftest.py`` above it, imports one that is not loaded.
    """
    if checking_of(item) is None:
        return
    checks = item.config.stash[CHECKING].config.checks
    not_needed = NOT_NEEDED | set(map(canonical, checks.plugins_not_needed))
    for file in (item.path, *(folder / CONFTEST for folder in _folders(item))):
        for plugin in _imported(item.config, file):
            if plugin.name not in not_needed and not _is_loaded(item.config.pluginmanager, plugin):
                raise Inconclusive(
                    f"Not decided: {file.name} imports {plugin.name}, a plugin of pytest that is not loaded: "
                    "what it offers may do nothing.",
                    f'load it in gated runs: [checks] pytest_plugins = ["{plugin.name}"]; if it works all '
                    f'the same, plugins_not_needed = ["{plugin.name}"].',
                )


def _folders(item: pytest.Item) -> list[Path]:
    """From the check's own up to the root of the session."""
    root = item.config.rootpath
    return [folder for folder in item.path.parents if folder == root or root in folder.parents]


def _imported(config: pytest.Config, file: Path) -> list[PytestPlugin]:
    known = config.stash.setdefault(_IMPORTED, {})
    if file not in known:
        known[file] = imported_by(file.read_bytes()) if file.is_file() else []
    return known[file]


def _is_loaded(manager: pytest.PytestPluginManager, plugin: PytestPlugin) -> bool:
    named = {name for name, loaded in manager.list_name_plugin() if loaded is not None}
    modules = {getattr(loaded, "__name__", None) for _, loaded in manager.list_name_plugin()}
    return set(plugin.entry_points) <= named or set(plugin.modules) <= modules
