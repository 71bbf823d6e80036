"""What the entry module has found, and the hooks ask for: the migration's file, and our own options."""

from __future__ import annotations

from pathlib import Path

import pytest

MIGRATION_FILE = pytest.StashKey[Path]()
MARKER = "ddb_check"


def setting(config: pytest.Config, name: str) -> tuple[str | None, str]:
    """An option's value, or its ini setting's, and which of the two it is; ``None`` for neither."""
    option: str | None = config.getoption(f"--ddb-{name.replace('_', '-')}")
    if option is not None:
        return option, f"--ddb-{name.replace('_', '-')}"
    ini: str | None = config.getini(f"ddb_{name}") or None
    return ini, f"ini ddb_{name}"
