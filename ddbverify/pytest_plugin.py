"""
The entry point of the pytest plugin: options, and whether there is a ``migration.toml`` at all.

It is loaded in every project of the user that runs in an environment with ddbverify. So it imports
nothing of the package but one light module, and where there is no migration it does nothing more.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ddbverify.names import FILE_NAME

MIGRATION_FILE = pytest.StashKey[Path]()
MARKER = "ddb_check"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our options; harmless where there is no migration."""
    group = parser.getgroup("ddbverify", "migration checks (ddbverify)")
    group.addoption("--ddb-config", metavar="FILE", help="migration.toml whose tables are checked")
    group.addoption("--ddb-sample", metavar="PERCENT", help="read a sample instead, such as 0.5%%")
    group.addoption("--ddb-record", metavar="FILE", help="write the raw record; used by `ddbverify run`")


def pytest_configure(config: pytest.Config) -> None:
    """Find the migration, and register what collects and runs its checks."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(severity, coverage, tolerate, covers, time_limit): how a migration check counts; "
        "the same as ddbverify.check, and usable for a whole file as `pytestmark`",
    )
    file = _migration_file(config)
    if file is None:
        return
    config.stash[MIGRATION_FILE] = file
    from ddbverify import pytest_checks

    config.pluginmanager.register(pytest_checks, pytest_checks.__name__)


def _migration_file(config: pytest.Config) -> Path | None:
    named: str | None = config.getoption("--ddb-config")
    if named is not None:
        file: Path = config.invocation_params.dir / named
        if not file.is_file():
            raise pytest.UsageError(f"--ddb-config: there is no file {named}")
        return file
    for folder in (config.invocation_params.dir, config.rootpath):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    return None
