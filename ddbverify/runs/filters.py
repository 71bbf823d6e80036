"""
Which warnings the project's own pytest settings make errors of, or let pass: ``filterwarnings``.

A gated run takes nothing else from these settings. Without them a check that plain pytest fails, because it
warns, would pass in the run.
"""

from __future__ import annotations

import configparser
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ddbverify.errors import ConfigurationError

_FILES: Final = {
    "pytest.toml": "pytest",
    ".pytest.toml": "pytest",
    "pytest.ini": "pytest",
    ".pytest.ini": "pytest",
    "pyproject.toml": "tool",
    "tox.ini": "pytest",
    "setup.cfg": "tool:pytest",
}
"""Where pytest looks, in its order, and in which section."""


def project_filters(checks: Path) -> tuple[str, ...]:
    """
    The filters that ``pytest checks/`` goes by, in their order.

    Args:
        checks: The suite; the first folder above it that has settings counts, as in pytest.

    Raises:
        ConfigurationError: A file of settings cannot be read.
    """
    for folder in (checks, *checks.parents):
        for name, section in _FILES.items():
            file = folder / name
            if file.is_file() and (found := _filters_in(file, section)) is not None:
                return tuple(found)
    return ()


def _filters_in(file: Path, section: str) -> Sequence[str] | None:
    """``None`` where the file has no settings of pytest."""
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".toml":
            return _in_toml(tomllib.loads(text), file.name, section)
        sections = configparser.RawConfigParser(strict=False, allow_no_value=True)
        sections.read_string(text)
    except (OSError, ValueError, configparser.Error) as error:
        raise ConfigurationError(
            f"{file}, which may hold settings of pytest, cannot be read: {type(error).__name__}.",
            "mend the file: its `filterwarnings` count for checks, too.",
        ) from error
    if section not in sections:
        return [] if file.name.endswith("pytest.ini") else None
    lines = (sections[section].get("filterwarnings") or "").splitlines()
    return [line.strip() for line in lines if line.strip()]


def _in_toml(document: dict[str, object], name: str, section: str) -> Sequence[str] | None:
    found = document.get(section, {})
    if name == "pyproject.toml" and isinstance(found, dict):
        own = found.get("pytest", {})
        found = own.get("ini_options", own) if own else None
    if not isinstance(found, dict):
        return None
    given = found.get("filterwarnings", [])
    lines = given.splitlines() if isinstance(given, str) else given
    return [str(line).strip() for line in lines if str(line).strip()]
