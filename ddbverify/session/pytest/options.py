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


def are_asked_for(config: pytest.Config, file: Path) -> bool:
    """
    Whether the checks of a file are to run. They read whole tables: ``pytest`` in a root does not.

    They are asked for by `ddbverify run`, the setting ``ddb_checks``, what runs nothing (``--ddb-plan``, and
    ``--collect-only``, by which editors find them), or a path on the command line: of the file, of a folder
    of checks in which it lies, or a node id in it.
    """
    runs_nothing = config.option.collectonly or config.getoption("--ddb-plan")
    if runs_nothing or config.getoption("--ddb-record") or config.getini("ddb_checks"):
        return True
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        return False
    root, file = config.stash[MIGRATION_FILE].resolve().parent, file.resolve()
    for argument in config.args:
        named = (config.invocation_params.dir / argument.partition("::")[0]).resolve()
        is_of_checks = named.is_relative_to(root / "checks") or (
            named == file.parent and not root.is_relative_to(named)
        )
        if named == file or (is_of_checks and file.is_relative_to(named)):
            return True
    return False
