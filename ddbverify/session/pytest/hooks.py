"""
Checks as pytest tests, in projects with a ``migration.toml``: a session's beginning and end.

Registered by `ddbverify.pytest_plugin` where there is a migration, beside `collecting`, `running` and
`bridge`, and imported nowhere else: they need boto3 and the rest of the package. What a check is to
pytest stands in `items`, what becomes of its report in `outcomes`.
"""

from __future__ import annotations

import fnmatch
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TextIO

import pytest
from rich.console import Console

from ddbverify import config as configuration
from ddbverify import interrupts
from ddbverify.compare.request import Progress
from ddbverify.errors import ConfigurationError
from ddbverify.evidence import folders
from ddbverify.evidence.evidence import tool_version
from ddbverify.reports import progress
from ddbverify.session.checking import ORPHANED_STATUS, Checking, Report
from ddbverify.session.processes import Own, end_with_parent
from ddbverify.session.pytest import silence, terminal
from ddbverify.session.pytest.hiding import refuse_plugins_that_tell
from ddbverify.session.pytest.items import (
    CHECKING,
    OWN,
    is_check_file,
    pairs_of,
)
from ddbverify.session.pytest.options import MIGRATION_FILE, are_asked_for, setting
from ddbverify.session.pytest.silence import ERRORS
from ddbverify.suite.pair import Pair


def pytest_configure(config: pytest.Config) -> None:
    """Begin a session of checks; refuse what would read the tables twice, or show what is in them."""
    sample, _ = setting(config, "sample")
    record, changed = config.getoption("--ddb-record"), config.getoption("--ddb-changed")
    config.stash[ERRORS] = terminal_file = config.stash.get(ERRORS, None) or os.fdopen(
        os.dup(2), "w", encoding="utf-8", errors="replace"
    )
    config.stash[CHECKING] = Checking(
        config.stash[MIGRATION_FILE],
        sample=sample,
        changed=Path(changed) if changed else None,
        time_limit=_time_limit(config),
        record=Path(record) if record else None,
        reveal=config.getoption("--ddb-reveal"),
        display=partial(_display, config, terminal_file),
        say=lambda line: print(f"\n{line}", file=terminal_file, flush=True),
    )
    if sys.flags.optimize and _collects_checks(config):
        raise pytest.UsageError(
            "migration checks cannot run with python -O or PYTHONOPTIMIZE: it drops every `assert`, and "
            "checks would pass on anything. Leave it out."
        )
    if _is_distributed(config) and _collects_checks(config):
        raise pytest.UsageError(
            "migration checks cannot be distributed by xdist: each worker would read both tables again. "
            "Leave out -n for checks; one process reads the tables in parallel itself."
        )
    if record:
        _refuse_what_shows(config)
        refuse_plugins_that_tell(config)
        config.stash[OWN] = Own(*silence.descriptors(config))
        parent = config.getoption("--ddb-parent")
        if parent is not None:
            end_with_parent(parent, lambda: os._exit(ORPHANED_STATUS))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close what was opened. What still hangs from here on is ended, too."""
    if OWN in config.stash:
        config.stash[OWN].let_go()
    if silence.OUTPUT not in config.stash:  # else it is needed until pytest has ended
        config.stash[ERRORS].close()


def _refuse_what_shows(config: pytest.Config) -> None:
    """A gated run is read by others: what checks print, log or compare stays out of it."""
    option = config.option
    for is_asked, what in (
        (option.ddb_reveal, "--ddb-reveal shows keys and values"),
        (option.usepdb or option.trace, "--pdb and --trace show values"),
        (config.getini("log_cli") or option.log_cli_level, "live logs show what checks log"),
        (config.getini("log_file") or option.log_file, "a log file keeps what checks log"),
        (option.ddb_plan, "--ddb-plan runs nothing"),
    ):
        if is_asked:
            raise pytest.UsageError(f"{what}: refused in `ddbverify run`. Use it with pytest itself.")


def _time_limit(config: pytest.Config) -> float | None:
    text, where = setting(config, "time_limit")
    if text is None:
        return None
    try:
        seconds = float(configuration.duration(text))
    except ValueError as error:
        raise pytest.UsageError(f"{where}: {error}") from error
    if seconds <= 0:
        raise pytest.UsageError(f"{where}: {text} is no time; write 90s, say")
    return seconds


def _display(config: pytest.Config, file: TextIO, pair: Pair) -> AbstractContextManager[Report]:
    """How far a shared pass is: a bar on a terminal, a line now and then elsewhere."""
    checking = config.stash[CHECKING]
    price = terminal.usd_per_unit(checking.config, pair.source, pair.target)
    meter = progress.Meter(
        items=pair.source.item_count + pair.target.item_count,
        usd_per_unit=price,
        settle_seconds=checking.config.verification.settle,
        findings=lambda: checking.causes[pair.id].findings,
    )
    reporter: pytest.TerminalReporter | None = config.pluginmanager.get_plugin("terminalreporter")
    if config.getoption("--ddb-watched"):
        shown = progress.silence()
    elif not file.isatty() or reporter is None:
        shown = progress.lines(meter, lambda line: print(f"ddbverify: {line}", file=file, flush=True))
    else:
        shown = _bar_below(meter, file, reporter)
    return _noted(shown, checking.events.passing(pair.id, price)) if checking.record else shown


@contextmanager
def _noted(
    shown: AbstractContextManager[Report], passing: AbstractContextManager[Report]
) -> Iterator[Report]:
    """The same display; how far the pass is goes into the run's folder, too."""
    with shown as show, passing as note:

        def report(now: Progress) -> None:
            note(now)
            show(now)

        yield report


@contextmanager
def _bar_below(meter: progress.Meter, file: TextIO, reporter: pytest.TerminalReporter) -> Iterator[Report]:
    """A bar in the line below pytest's own, which goes on afterwards where it was."""
    column = reporter._tw.width_of_current_line + 1  # noqa: SLF001 - its place is nowhere else to be had
    file.write("\n")
    file.flush()
    with progress.bar(meter, Console(file=file, highlight=False)) as report:
        yield report
    file.write(f"\x1b[1A\x1b[{column}G")
    file.flush()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Begin the record before anything of the user's is imported for collection."""
    silence.give_to_reporter(session.config)
    versions = {"ddbverify": tool_version(), "pytest": pytest.__version__}
    for _, distribution in session.config.pluginmanager.list_plugin_distinfo():
        versions[distribution.metadata["Name"]] = distribution.version
    checking = session.config.stash[CHECKING]
    checking.begin(versions)
    if checking.record is not None:
        session.config.stash[OWN].keep(checking.record)
        session.config.stash[OWN].keep(checking.record.with_name(folders.FINDINGS))


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Refuse a broken configuration once, instead of once per file; from now on nothing may hang."""
    checking = session.config.stash[CHECKING]
    if checking.is_gated or _collects_checks(session.config):
        pairs_of(checking)
        try:
            checking.note_plugins()
        except ConfigurationError as error:
            raise pytest.UsageError(str(error)) from error
    if checking.record is not None:
        checking.runs("collecting the checks", "")
        stuck = checking.record.with_name(folders.STUCK).open("w", encoding="utf-8")
        checking.watch(stuck)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what is checked, and where each setting comes from. Costs no call."""
    checking = config.stash[CHECKING]
    try:
        loaded = checking.config
    except ConfigurationError:  # refused when a check is collected; ordinary tests do not need it
        return [f"migration: {checking.file}"]
    from_options = {
        key: where
        for key, name in (("coverage", "sample"), ("time_limit", "time_limit"))
        for value, where in [setting(config, name)]
        if value is not None
    }
    changes_only = config.getoption("--ddb-changed") is not None
    return terminal.header(checking.file, loaded, from_options, changes_only=changes_only)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """
    What was read, one line per check, and the messages of those that pytest does not list as failed.

    After Ctrl-C one line of what had been found by then.
    """
    checking = config.stash[CHECKING]
    if not checking.checks or config.option.collectonly or config.option.ddb_plan:
        return
    if exitstatus == pytest.ExitCode.INTERRUPTED and interrupts.came():
        terminalreporter.write_line(terminal.found_so_far(checking))
        return
    terminalreporter.section("migration checks")
    for line in terminal.summary(checking, verbose=config.option.verbose > 0):
        terminalreporter.write_line(line)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Close the record. Without its last line the run is taken for dead."""
    checking = session.config.stash[CHECKING]
    if checking.is_gated:
        checking.runs("the end of the process", "")
    checking.end(int(exitstatus))


def _is_distributed(config: pytest.Config) -> bool:
    """Whether xdist is installed and was asked to spread the tests."""
    spread = getattr(config.option, "dist", "no") != "no" or bool(getattr(config.option, "tx", None))
    return spread or bool(getattr(config.option, "numprocesses", None))


def _is_asked_for(config: pytest.Config, file: Path) -> bool:
    return is_check_file(file) and are_asked_for(config, file)


def _collects_checks(config: pytest.Config) -> bool:
    """Whether the arguments lead to a check file, before anything is collected."""
    ignored = config.getini("norecursedirs")
    for argument in config.args:
        path = config.invocation_params.dir / argument.partition("::")[0]
        if path.is_file() and _is_asked_for(config, path):
            return True
        for folder, names, files in os.walk(path):
            if any(_is_asked_for(config, Path(folder) / file) for file in files):
                return True
            names[:] = [name for name in names if not any(fnmatch.fnmatch(name, glob) for glob in ignored)]
    return False
