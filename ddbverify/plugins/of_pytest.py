"""
Plugins of pytest that checks need: which the configuration lists, and which a file imports.

A gated run loads no plugin of pytest that nobody has listed. A check that imports one nevertheless may get
functions that do nothing without it: soft assertions that nobody gathers, blocks that nobody collects.
"""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution
from pathlib import Path
from typing import Final

from ddbverify.errors import ConfigurationError

GROUP: Final = "pytest11"

NOT_NEEDED: Final = frozenset({"hypothesis"})
"""Distributions whose modules do all that they promise while their plugin of pytest is not loaded."""

_BY_NAME: Final = ("import_module", "importorskip", "__import__")
"""Functions that import what their first argument names."""


@dataclass(frozen=True, slots=True)
class PytestPlugin:
    """One installed distribution that brings plugins of pytest."""

    name: str  # of the distribution, as it is compared
    version: str
    entry_points: tuple[str, ...]
    modules: tuple[str, ...]  # that the entry points name

    @property
    def files(self) -> dict[str, Path]:
        """Its Python files, by their names in the distribution."""
        found = importlib.metadata.distribution(self.name).files or ()
        return {str(one): Path(str(one.locate())) for one in found if one.suffix == ".py"}


@functools.cache
def installed() -> dict[str, PytestPlugin]:
    """Every distribution that brings plugins of pytest, by its name."""
    found: dict[str, list[tuple[Distribution, str, str]]] = {}
    for one in importlib.metadata.entry_points(group=GROUP):
        if one.dist is not None:
            found.setdefault(canonical(one.dist.name), []).append((one.dist, one.name, one.module))
    return {
        name: PytestPlugin(
            name=name,
            version=entries[0][0].version,
            entry_points=tuple(sorted({entry for _, entry, _ in entries})),
            modules=tuple(sorted({module for _, _, module in entries})),
        )
        for name, entries in found.items()
    }


def listed(names: Sequence[str]) -> list[PytestPlugin]:
    """
    The plugins that ``[checks] pytest_plugins`` names, by their distributions.

    Raises:
        ConfigurationError: One is not installed, or is none of pytest's.
    """
    plugins = []
    for name in names:
        plugin = installed().get(canonical(name))
        if plugin is None:
            raise ConfigurationError(
                f"[checks] pytest_plugins: no distribution {name!r} that is a plugin of pytest is installed.",
                "install it beside ddbverify, or take it off the list.",
            )
        plugins.append(plugin)
    return plugins


def entry_points(names: Sequence[str]) -> list[str]:
    """What ``pytest -p`` calls the plugins of these distributions. Raises as `listed`."""
    return [entry_point for plugin in listed(names) for entry_point in plugin.entry_points]


def canonical(name: str) -> str:
    """The name of a distribution as it is compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def imported_by(text: bytes) -> list[PytestPlugin]:
    """The plugins of pytest that a file imports by its own text; what its imports import does not count."""
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError):
        return []  # it cannot be imported at all, and is refused for that
    roots = {name.partition(".")[0] for name in _imports(module)}
    names = {canonical(one) for root in roots for one in _distributions().get(root, ())}
    own = {
        plugin.name
        for plugin in installed().values()
        if roots & {one.partition(".")[0] for one in plugin.modules}
    }
    return [plugin for name, plugin in sorted(installed().items()) if name in names | own]


@functools.cache
def _distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


def _imports(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(name), level=0):
                yield name
            case ast.Call(func=called, args=[ast.Constant(value=str(name)), *_]):
                if ast.unparse(called).rpartition(".")[2] in _BY_NAME:
                    yield name
