"""
The entry point of the pytest plugin: options, and whether there is a ``migration.toml`` at all.

It is loaded in every project of the user that runs in an environment with ddbverify. So it imports
nothing of the package but two light modules, and where there is no migration it does nothing more.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from ddbverify.names import FILE_NAME
from ddbverify.session.pytest.options import MARKER, MIGRATION_FILE, setting

_WITH_INI = (
    ("config", "FILE", "migration.toml whose tables are checked"),
    ("sample", "PERCENT", "read a sample instead, such as 0.5%%"),
    ("time_limit", "DURATION", "that a call of a check may take in `ddbverify run`, such as 90s"),
)
"""Options that an ini file may set, too: name, what to write, help."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our options; harmless where there is no migration."""
    group = parser.getgroup("ddbverify", "migration checks (ddbverify)")
    for name, metavar, text in _WITH_INI:
        group.addoption(f"--ddb-{name.replace('_', '-')}", metavar=metavar, help=text)
        parser.addini(f"ddb_{name}", text.replace("%%", "%"))
    parser.addini("ddb_checks", "run migration checks in every pytest, not only when named", type="bool")
    group.addoption(
        "--ddb-plan", action="store_true", help="print what reading the tables costs, and run nothing"
    )
    group.addoption(
        "--ddb-reveal",
        action="store_true",
        help="show keys, and what failing assertions compared: for your eyes, refused by `ddbverify run`",
    )
    group.addoption("--ddb-record", metavar="FILE", help="write the raw record; used by `ddbverify run`")
    group.addoption(
        "--ddb-changed", metavar="FOLDER", help="keys to look at; used by `ddbverify run --since`"
    )
    group.addoption(
        "--ddb-watched", action="store_true", help="show no progress; used by `ddbverify run --watch`"
    )
    group.addoption(
        "--ddb-parent", metavar="FD", type=int, help="end when this pipe does; used by `ddbverify run`"
    )
    group.addoption(
        "--ddb-told", metavar="FD", type=int, help="load, and wait for a word; used by `run --at-word`"
    )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None]:
    """In a gated run, watch over the user's code from its first file on, which is a ``conftest.py``."""
    asked = early_config.known_args_namespace
    if not (asked.ddb_record and asked.ddb_config):
        return (yield)
    from ddbverify.session import loading, told
    from ddbverify.session.pytest.stand_ins import of_a_conftest

    if asked.ddb_told is not None:
        told.watch()
    loading.begin(Path(asked.ddb_config))
    try:
        return (yield)
    except Exception as error:
        of_a_conftest(error)
        raise


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, object, object]:
    """In a gated run, keep the terminal for what may be seen."""
    if not config.getoption("--ddb-record"):
        return (yield)
    from ddbverify.session.pytest import silence

    return (yield from silence.kept(config))


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
    from ddbverify.session.pytest import bridge, collecting, endings, hiding, hooks, running

    gated = (endings,) if config.getoption("--ddb-record") else ()
    for module in (hooks, collecting, hiding, running, bridge, *gated):
        config.pluginmanager.register(module, module.__name__)


def _migration_file(config: pytest.Config) -> Path | None:
    named, where = setting(config, "config")
    if named:
        # An ini file speaks of its own folder, a command line of the folder it is typed in.
        folder = config.rootpath if where.startswith("ini") else config.invocation_params.dir
        file: Path = folder / named
        if not file.is_file():
            raise pytest.UsageError(f"{where}: there is no file {named}")
        return file
    for folder in (config.invocation_params.dir, config.rootpath):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    return None
