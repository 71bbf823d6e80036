"""
Checks as pytest tests, in projects with a ``migration.toml``: the hooks of a session of checks.

Registered by `ddbverify.pytest_plugin` where there is a migration, and imported nowhere else: it
needs boto3 and the rest of the package. What a check is to pytest stands in `pytest_items`, what
becomes of its report in `pytest_outcomes`.
"""

from __future__ import annotations

import fnmatch
import inspect
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import msgspec
import pytest
from rich.console import Console

from ddbverify import config as configuration
from ddbverify import interrupts
from ddbverify.compare.inspection import kind_of
from ddbverify.errors import ConfigurationError, DdbVerifyError, Inconclusive
from ddbverify.evidence import folders
from ddbverify.evidence.evidence import tool_version
from ddbverify.evidence.record import CheckState
from ddbverify.reports import plan, plan_text, progress
from ddbverify.session.checking import Checking, Report
from ddbverify.session.pytest import terminal
from ddbverify.session.pytest.items import (
    CHECKING,
    SETTINGS,
    WHAT_IS_RUN,
    CheckModule,
    blank_record,
    checking_of,
    is_check_file,
    item_check_of,
    marked,
    overlooked,
    pair_of,
    settings_of,
)
from ddbverify.session.pytest.options import MIGRATION_FILE, setting
from ddbverify.session.pytest.outcomes import (
    SECONDS,
    SEES,
    VERDICTS,
    OwnInterrupt,
    message_of,
    properties,
    record_of,
    show,
    state_of,
)
from ddbverify.suite.blindness import covered_attributes, unnoticed_by
from ddbverify.suite.pair import Pair
from ddbverify.suite.verdicts import Outcome, learning

_LONGEST_NAME = 1_000

_TERMINAL = pytest.StashKey[TextIO]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin a session of checks; refuse what would read the tables twice, or show what is in them."""
    sample, _ = setting(config, "sample")
    record = config.getoption("--ddb-record")
    # Standard error itself: while a check runs, pytest has put a file in its place.
    config.stash[_TERMINAL] = terminal_file = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace")
    config.stash[CHECKING] = Checking(
        config.stash[MIGRATION_FILE],
        sample=sample,
        time_limit=_time_limit(config),
        record=Path(record) if record else None,
        reveal=config.getoption("--ddb-reveal"),
        display=partial(_display, config, terminal_file),
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


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close what was opened. What still hangs from here on is ended, too."""
    config.stash[_TERMINAL].close()


def _refuse_what_shows(config: pytest.Config) -> None:
    """A gated run is read by others: what checks print, log or compare stays out of it."""
    option = config.option
    for is_asked, what in (
        (option.ddb_reveal, "--ddb-reveal shows keys and values"),
        (option.capture in ("no", "tee-sys"), f"--capture={option.capture} shows what checks print"),
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
    meter = progress.Meter(
        items=pair.source.item_count + pair.target.item_count,
        usd_per_unit=terminal.usd_per_unit(checking.config, pair.source, pair.target),
        findings=lambda: checking.causes[pair.id].findings,
    )
    reporter: pytest.TerminalReporter | None = config.pluginmanager.get_plugin("terminalreporter")
    if not file.isatty() or reporter is None:
        return progress.lines(meter, lambda line: print(f"ddbverify: {line}", file=file, flush=True))
    return _bar_below(meter, file, reporter)


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


def pytest_sessionstart(session: pytest.Session) -> None:
    """Begin the record before anything of the user's is imported for collection."""
    versions = {"ddbverify": tool_version(), "pytest": pytest.__version__}
    for _, distribution in session.config.pluginmanager.list_plugin_distinfo():
        versions[distribution.metadata["Name"]] = distribution.version
    session.config.stash[CHECKING].begin(versions)


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Refuse a broken configuration once, instead of once per file; from now on nothing may hang."""
    checking = session.config.stash[CHECKING]
    if checking.is_gated or _collects_checks(session.config):
        _pairs(checking)
        try:
            checking.note_plugins()
        except ConfigurationError as error:
            raise pytest.UsageError(str(error)) from error
    if checking.record is not None:
        checking.runs("collecting the checks", "")
        stuck = checking.record.with_name(folders.STUCK).open("w", encoding="utf-8")
        file = session.config.stash[_TERMINAL]
        checking.watch(stuck, lambda line: print(f"\n{line}", file=file, flush=True))


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
    gated = collector.config.stash[CHECKING].is_gated
    if isinstance(collector, CheckModule) or gated:
        report.sections = []
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
    if hasattr(metafunc.config, "workerinput"):
        raise pytest.Collector.CollectError(
            f"{definition.name}: migration checks cannot be distributed by xdist."
        )
    pairs = _pairs(metafunc.config.stash[CHECKING])
    metafunc.parametrize("pair", pairs, ids=[pair.id for pair in pairs])


def pytest_itemcollected(item: pytest.Item) -> None:
    """A check that was collected counts as not run until something better is known."""
    checking = checking_of(item)
    if checking is None:
        return
    if not item.nodeid.isprintable() or len(item.nodeid) > _LONGEST_NAME:
        raise pytest.UsageError(
            f"{terminal.shown(item.nodeid)}: a check has a name of at most {_LONGEST_NAME:,} characters, "
            "none of them a control character. Rename the file or the function."
        )
    item.stash[SETTINGS] = marked(item)
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
    for item in session.items:
        check, pair = item_check_of(item), pair_of(item)
        if pair is None:
            continue
        settings = settings_of(item)
        if check is not None:
            checking.subscribe(pair, check, settings.time_limit)
        pair.will_alter(covered_attributes(settings.covers))


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Run the checks; with ``--ddb-plan`` say what they would cost instead."""
    config = session.config
    if config.option.ddb_plan and not config.option.collectonly:
        _print_plan(session)
        session.items.clear()
    with interrupts.noticed():
        return (yield)


def _print_plan(session: pytest.Session) -> None:
    checking = session.config.stash[CHECKING]
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    wanted = {pair.id for item in session.items if (pair := pair_of(item)) is not None}
    for pair in checking.pairs:
        if pair.id not in wanted:
            continue
        single = msgspec.structs.replace(checking.config, tables=(pair.settings,))
        try:
            text = plan_text.text(plan.plan(single))
        except DdbVerifyError as error:
            text = f"{pair.settings}: {error}"
        if reporter is not None:
            reporter.section(f"{pair.id}: what one pass costs")
            reporter.write_line(text)


@pytest.hookimpl(wrapper=True, trylast=True)  # innermost: pytest's own recorder of warnings never sees them
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Note that a check begins, and keep to ourselves what it warns of: the text may hold values."""
    checking = checking_of(item)
    if checking is None or checking.reveal:
        return (yield)
    checking.begins(item.nodeid)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            return (yield)
    finally:
        checking.rests()
        checking.warned.update(Counter(kind_of(warning.category) for warning in caught))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Watch over fixtures."""
    with _watched(item, "setup"):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Watch over fixtures."""
    with _watched(item, "teardown"):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Gather what the check learns, also where it raises."""
    checking = item.config.stash[CHECKING]
    with learning(settings_of(item)) as verdicts, _watched(item, "call"):
        item.stash[VERDICTS] = verdicts
        began, reading = time.perf_counter(), checking.seconds_reading
        try:
            with _nothing_returned(item):
                result = yield
        finally:
            passes = checking.seconds_reading - reading
            item.stash[SECONDS] = max(0.0, time.perf_counter() - began - passes)
    with _watched(item, "controls"):
        _require_sight(item)
    return result


@contextmanager
def _nothing_returned(item: pytest.Item) -> Iterator[None]:
    """A check that ends with ``return a == b`` has asserted nothing. Pytest warns of it; here it decides."""
    if checking_of(item) is None:
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("error", category=pytest.PytestReturnNotNoneWarning)
        try:
            yield
        except pytest.PytestReturnNotNoneWarning:
            raise Inconclusive(
                "Not decided: the check returned a value, and nobody looks at that.",
                "write `assert ...` instead of `return ...`.",
            ) from None


@contextmanager
def _watched(item: pytest.Item, phase: str) -> Iterator[None]:
    checking = checking_of(item)
    if checking is None:
        yield
        return
    settings = settings_of(item)
    checking.runs(f"{item.nodeid} ({phase})", f"{item.nodeid} {phase}", settings.time_limit)
    try:
        yield
    except KeyboardInterrupt as error:
        if interrupts.came():
            raise
        raise OwnInterrupt().with_traceback(error.__traceback__) from None


def _require_sight(item: pytest.Item) -> None:
    """A check that passes on what it claims to notice has not decided anything."""
    covers = settings_of(item).covers
    passed = all(verdict.outcome is Outcome.PASSED for verdict in item.stash.get(VERDICTS, []))
    if not covers or not passed or not isinstance(item, pytest.Function):
        return
    wants = inspect.signature(item.obj).parameters
    given = {name: value for name, value in item.funcargs.items() if name in wants}
    pair = given.get("pair")
    blind = (
        unnoticed_by(lambda one: item.obj(**given | {"pair": one}), covers, pair)
        if isinstance(pair, Pair)
        else "only checks that take a `pair`, and those on items, can be run on altered copies"
    )
    if blind:
        raise Inconclusive(
            f"Not decided: it covers {', '.join(sorted(covers))}, and a control failed: {blind}",
            "mend the check, or claim less with @check(covers=...).",
        )
    item.stash[SEES] = True


@pytest.hookimpl(wrapper=True, tryfirst=True)  # outermost: it sees what skip and xfail made of the report
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn exceptions into states, and replace everything that could hold a value."""
    report = yield
    checking = checking_of(item)
    if checking is None:
        return report
    if not checking.reveal:
        report.sections = []  # what the check printed or logged
        report.ddb_hides = True  # type: ignore[attr-defined]  # read back by pytest_runtest_logreport
    known = checking.checks.get(item.nodeid) or blank_record(item, CheckState.NOT_RUN)
    state = state_of(report, call, item.stash.get(VERDICTS, []))
    if state is None:
        return report
    message = message_of(state, call, item)
    # A refuted claim stays refuted, whatever its clean-up does; and of a check in parts (`subtests`),
    # whose parts report before the whole, the whole has not passed where a part has not.
    in_part = state is CheckState.PASSED and known.state is not CheckState.NOT_RUN
    stays = known.state is CheckState.FAILED or in_part
    if stays:
        state = known.state
        message = message or checking.messages.get(item.nodeid, "")
    if report.when == "call" or state is not CheckState.PASSED:
        check = record_of(item, state, item.stash.get(VERDICTS, []), call)
        if stays:
            check = msgspec.structs.replace(check, why=known.why)
        checking.learn(check, message)
        # Pytest writes the properties down once, at the end: only the last word on a check counts.
        item.user_properties[:] = [one for one in item.user_properties if not str(one[0]).startswith("ddb_")]
        item.user_properties += properties(check)
        report.user_properties = list(item.user_properties)
    show(report, state, message, item)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A part of a check (`subtests`) comes with what it printed, and under labels that may be values."""
    labels: Any = getattr(report, "context", None)  # of a `SubtestReport`
    if labels is not None and getattr(report, "ddb_hides", False):
        report.sections = []
        report.context = type(labels)(msg=None, kwargs={})  # type: ignore[attr-defined]  # as above


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, Any] | None:
    """
    The third outcome, letter ``I``: the report stays a failed one, so the exit status is 1.

    And the fourth, letter ``W``: a check of severity "warn" that has not passed fails nothing.
    """
    if getattr(report, "ddb_warns", False):
        return "warned", "W", ("WARNED", {"yellow": True})
    if getattr(report, "ddb_state", None) == CheckState.INCONCLUSIVE and report.failed:
        return "inconclusive", "I", ("INCONCLUSIVE", {"yellow": True})
    return None


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
    return terminal.header(checking.file, loaded, from_options)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What was read, one line per check, and the messages of those that pytest does not list as failed."""
    checking = config.stash[CHECKING]
    if not checking.checks or config.option.collectonly or config.option.ddb_plan:
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


def _pairs(checking: Checking) -> list[Pair]:
    try:
        return checking.pairs
    except ConfigurationError as error:
        raise pytest.UsageError(str(error)) from error


def _is_of_the_migration(item: pytest.Item) -> bool:
    """Whether functions with a ``pair`` are checks here: in check files, checks/, beside migration.toml."""
    if item.getparent(CheckModule) is not None or item.config.stash[CHECKING].is_gated:
        return True
    folder = item.config.stash[MIGRATION_FILE].resolve().parent
    return item.path.parent == folder or folder / "checks" in item.path.parents


def _is_distributed(config: pytest.Config) -> bool:
    """Whether xdist is installed and was asked to spread the tests."""
    spread = getattr(config.option, "dist", "no") != "no" or bool(getattr(config.option, "tx", None))
    return spread or bool(getattr(config.option, "numprocesses", None))


def _collects_checks(config: pytest.Config) -> bool:
    """Whether the arguments lead to a check file, before anything is collected."""
    ignored = config.getini("norecursedirs")
    for argument in config.args:
        path = config.invocation_params.dir / argument.partition("::")[0]
        if path.is_file() and is_check_file(path):
            return True
        for _, names, files in os.walk(path):
            if any(is_check_file(Path(file)) for file in files):
                return True
            names[:] = [name for name in names if not any(fnmatch.fnmatch(name, glob) for glob in ignored)]
    return False
