"""Which files and functions are checks, on which pairs: the hooks of pytest's collection."""

from __future__ import annotations

import fnmatch
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from ddbverify.evidence import folders
from ddbverify.evidence.record import CheckState
from ddbverify.session.pytest import terminal
from ddbverify.session.pytest.items import (
    CHECKING,
    WHAT_IS_RUN,
    CheckModule,
    blank_record,
    checking_of,
    is_check_file,
    item_check_of,
    mark,
    marked,
    overlooked,
    pair_of,
    pairs_of,
    settings_of,
)
from ddbverify.session.pytest.options import MIGRATION_FILE, are_asked_for
from ddbverify.session.pytest.stand_ins import HIDDEN
from ddbverify.suite.blindness import covered_attributes
from ddbverify.suite.definitions import means
from ddbverify.suite.marks import is_bound, of_no_pair
from ddbverify.suite.vanishing import Collected, vanished
from ddbverify.words import number_of

_LONGEST_NAME = 1_000

_NOBODYS: Final = object()
"""Stands for the pair of a check that nobody has asked for."""

_LEFT_ALONE = pytest.StashKey[set[Path]]()
"""Of the session: files with such checks."""

_COLLECTED = pytest.StashKey[Collected]()
"""Of the session: what is run of the suite."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave alone the checks that nobody has asked for."""
    if not is_check_file(collection_path) or are_asked_for(config, collection_path):
        return None
    _left_alone(config).add(collection_path)
    return True


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Collect ``check_*.py``, unless pytest's own collector is about to."""
    if not is_check_file(file_path):
        return None
    # A file that is named on the command line, or that `python_files` matches, comes back to us
    # through pytest_pycollect_makemodule; collected here as well, it would run twice.
    patterns: list[str] = parent.config.getini("python_files")
    if parent.session.isinitpath(file_path) or any(
        fnmatch.fnmatch(file_path.name, pattern) for pattern in patterns
    ):
        return None
    return CheckModule.from_parent(parent, path=file_path)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Make pytest's own collector take our module for check files."""
    if not is_check_file(module_path):
        return None
    return CheckModule.from_parent(parent, path=module_path)


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> None:
    """Refuse what its author takes for a check and pytest steps over: nobody would miss it."""
    if isinstance(collector, CheckModule) and (what := overlooked(collector, name, obj)):
        raise collector.CollectError(f"{what}, and would not be run: {WHAT_IS_RUN}.")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """An import runs the user's code: what it printed, and what it raised, may hold values."""
    report = yield
    checking = collector.config.stash[CHECKING]
    gated = checking.is_gated
    if report.skipped and isinstance(collector, pytest.Module):
        _collected(collector.config).skipped.add(collector.path.resolve())
    if report.failed and isinstance(collector, pytest.Module):
        _collected(collector.config).broken.add(collector.path.resolve())
    if isinstance(collector, CheckModule) or gated:
        report.sections = []
        if report.skipped and isinstance(report.longrepr, tuple) and not checking.reveal:
            report.longrepr = (*report.longrepr[:2], f"Skipped: {HIDDEN}")
    if gated and report.failed and not isinstance(collector, CheckModule):
        report.longrepr = f"{collector.nodeid} cannot be imported. Try: python {collector.path.name}"
    return report


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each check that asks for a ``pair`` every pair; never a key in an id."""
    definition = metafunc.definition
    if "pair" not in metafunc.fixturenames or not _is_of_the_migration(definition):
        return
    # In ordinary tests beside a migration, `pair` may be a fixture or a parameter of the user's own.
    own = (
        definition.getparent(CheckModule) is None
        and (
            "pair" in metafunc._arg2fixturedefs  # noqa: SLF001 - pytest has no public way to ask
            or any("pair" in str(mark.args[:1]) for mark in definition.iter_markers("parametrize"))
        )
    )
    if own:
        return
    # Files of checks have been left alone already, where nobody asked; those of plugins come with a folder.
    in_a_test_file = definition.getparent(CheckModule) is None
    if in_a_test_file and not are_asked_for(metafunc.config, definition.path):
        metafunc.parametrize("pair", [_NOBODYS], ids=["not asked for"])
        _left_alone(metafunc.config).add(definition.path)
        return
    if hasattr(metafunc.config, "workerinput"):
        raise pytest.Collector.CollectError(
            f"{definition.name}: migration checks cannot be distributed by xdist."
        )
    every = pairs_of(metafunc.config.stash[CHECKING])
    try:
        tables = marked(definition).tables
    except pytest.UsageError:  # raised again, as one, when the item is there
        tables = ()
    pairs = [pair for pair in every if is_bound(tables, pair.settings.source)]
    if unknown := of_no_pair(tables, (pair.settings.source for pair in every)):
        _refuse_if_required(definition, unknown)
    if not pairs:
        metafunc.parametrize("pair", [_NOBODYS], ids=["of no pair"])
        return
    metafunc.parametrize("pair", [pair.of_its_own() for pair in pairs], ids=[pair.id for pair in pairs])


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Collect as nothing the checks in test files that nobody has asked for."""
    items[:] = [item for item in items if _pair_given(item) is not _NOBODYS]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say, in a line, that there are checks and how they are run."""
    if files := _left_alone(config):
        terminalreporter.write_line(
            f"migration checks in {number_of(len(files), 'file')} were left alone: `ddbverify run`, or "
            "`pytest checks/`, runs them; with ddb_checks = true every pytest does."
        )


def pytest_itemcollected(item: pytest.Item) -> None:
    """A check that was collected counts as not run until something better is known."""
    checking = checking_of(item)
    if checking is None:
        return
    node_id = item.nodeid
    if not node_id.isprintable() or len(node_id) > _LONGEST_NAME:
        raise pytest.UsageError(
            f"{terminal.shown(node_id)}: a check has a name of at most {_LONGEST_NAME:,} characters, "
            "none of them a control character. Rename the file or the function."
        )
    if checking.is_gated:  # who runs checks with pytest itself may leave out any
        _note(item, _collected(item.config))
    if _pair_given(item) is _NOBODYS:
        return
    mark(item)
    checking.learn(blank_record(item, CheckState.NOT_RUN))


def pytest_deselected(items: list[pytest.Item]) -> None:
    """What is left out is recorded: it closes the gate."""
    for item in items:
        checking = checking_of(item)
        if checking is not None:
            checking.learn(blank_record(item, CheckState.DESELECTED))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Subscribe the checks on items that were selected: one pass serves them all."""
    checking = session.config.stash[CHECKING]
    checking.rests()
    if session.config.option.collectonly or session.config.option.ddb_plan:
        return
    if checking.is_gated:
        folder = folders.checks_folder(checking.config).resolve()
        not_checks = checking.config.checks.not_checks
        if lost := vanished(folder, _collected(session.config), not_checks):
            checking.miss(lost)
            session.items.clear()  # nothing is read: the run is not complete, whatever the others say
    for item in session.items:
        check, pair = item_check_of(item), pair_of(item)
        if pair is None:
            continue
        settings = settings_of(item)
        if check is not None:
            checking.subscribe(pair, replace(check, stateless=settings.stateless), settings.time_limit)
        pair.will_alter(covered_attributes(settings.covers))


def _refuse_if_required(definition: pytest.Item, unknown: Sequence[str]) -> None:
    """A check may name tables that this migration does not have, unless the gate asks for it."""
    name = f"{definition.nodeid.partition('::')[0]}::{definition.name}"
    required = definition.config.stash[CHECKING].config.gate.required
    if any(means(pattern, name) for pattern in required):
        raise pytest.Collector.CollectError(
            f"{definition.nodeid}: tables={list(unknown)} are the source of no pair in migration.toml, and "
            "[gate] required asks for the check. Correct the names, or do not require it."
        )


def _left_alone(config: pytest.Config) -> set[Path]:
    return config.stash.setdefault(_LEFT_ALONE, set())


def _pair_given(item: pytest.Item) -> object:
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("pair") if callspec is not None else None


def _collected(config: pytest.Config) -> Collected:
    return config.stash.setdefault(_COLLECTED, Collected())


def _note(item: pytest.Item, collected: Collected) -> None:
    """Where the function of a check stands, whatever decorators are around it, and what it is called."""
    function: Any = getattr(item, "obj", None)
    check = item_check_of(item)
    function = check.function if check is not None else function
    while inner := getattr(function, "__wrapped__", None) or getattr(function, "func", None):
        function = inner
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    name = getattr(item, "originalname", None) or item.name
    where = (code.co_filename, code.co_firstlineno) if code is not None else ()
    collected.note(str(item.path), name, *where)


def _is_of_the_migration(item: pytest.Item) -> bool:
    """Whether functions with a ``pair`` are checks here: in check files, checks/, beside migration.toml."""
    if item.getparent(CheckModule) is not None or item.config.stash[CHECKING].is_gated:
        return True
    folder = item.config.stash[MIGRATION_FILE].resolve().parent
    return item.path.parent == folder or folder / "checks" in item.path.parents
