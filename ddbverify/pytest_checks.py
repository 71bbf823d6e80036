"""
Checks as pytest tests, in projects with a ``migration.toml``: collected, with outcomes of their own.

Registered by `ddbverify.pytest_plugin` where there is a migration, and imported nowhere else: it
needs boto3 and the rest of the package.

A check that does not pass shows the message of our own exceptions, or the place in its source;
never a traceback, an operand, a warning or captured output, because those hold the values of items.
"""

from __future__ import annotations

import fnmatch
import hashlib
import importlib.util
import inspect
import linecache
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

import msgspec
import pytest
from rich.console import Console

from ddbverify import config as configuration
from ddbverify import folders, interrupts, plan, progress, terminal
from ddbverify.blindness import covered_attributes, unnoticed_by
from ddbverify.checking import Checking, Report
from ddbverify.checks import Pair
from ddbverify.errors import ConfigurationError, DdbVerifyError, EngineError, Inconclusive, TransformError
from ddbverify.evidence import tool_version
from ddbverify.inspection import kind_of
from ddbverify.marks import SETTINGS, CheckSettings, MarkError, Severity, settings_of
from ddbverify.pytest_plugin import MARKER, MIGRATION_FILE, setting
from ddbverify.record import CheckRecord, CheckState
from ddbverify.verdicts import Outcome, StillChurning, Verdict, learning

_FILES = "check_*.py"
_FUNCTIONS = "check_"
_LONGEST_NAME = 1_000
_BY_DEFAULT = CheckSettings()
_UNDECIDED = (Inconclusive, EngineError, TransformError)
_TELLING = (
    ImportError,
    SyntaxError,
    MarkError,
    DdbVerifyError,
)  # errors of an import whose text may be shown

CHECKING = pytest.StashKey[Checking]()
_TERMINAL = pytest.StashKey[TextIO]()
_VERDICTS = pytest.StashKey[list[Verdict]]()
_SETTINGS = pytest.StashKey[CheckSettings]()
_SECONDS = pytest.StashKey[float]()


class _OwnInterrupt(Exception):
    """A check has raised KeyboardInterrupt itself; nobody has pressed Ctrl-C."""


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
    if not _is_check_file(file_path):
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
    if not _is_check_file(module_path):
        return None
    return CheckModule.from_parent(parent, path=module_path)


class CheckModule(pytest.Module):
    """A file of checks: functions ``check_*``, imported without pytest's rewriting of ``assert``."""

    def funcnamefilter(self, name: str) -> bool:
        return name.startswith(_FUNCTIONS)

    def classnamefilter(self, name: str) -> bool:  # noqa: ARG002 - pytest's signature
        return False

    def _getobj(self) -> ModuleType:
        # pytest rewrites whatever is named on the command line, and a rewritten assertion prints
        # its operands. Loading by path goes around its import hook.
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:8]
        name = f"ddbverify_checks_{digest}_{self.path.stem}"
        spec = importlib.util.spec_from_file_location(name, self.path, loader=self._rewriting())
        if spec is None or spec.loader is None:
            raise self.CollectError(f"{self.path.name} is not a Python file.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        # The import runs the user's code; whatever it raises, the file cannot be collected.
        except Exception as error:  # noqa: BLE001
            del sys.modules[name]
            where = _place(pytest.ExceptionInfo.from_exception(error), self.path)
            text = f": {error}" if isinstance(error, _TELLING) or self._reveals else ""
            raise self.CollectError(f"{kind_of(type(error))} {where}{text}") from None
        return module

    @property
    def _reveals(self) -> bool:
        return self.config.stash[CHECKING].reveal

    def _rewriting(self) -> Any:
        """Pytest's rewriting loader where operands are to be shown; ``None``: Python's own."""
        if not self._reveals:
            return None
        return next((one for one in sys.meta_path if type(one).__name__ == "AssertionRewritingHook"), None)


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> None:
    """Refuse what its author takes for a check and pytest steps over: nobody would miss it."""
    if not isinstance(collector, CheckModule):
        return
    what, is_own = "", getattr(obj, "__module__", None) == collector.obj.__name__
    if inspect.isclass(obj):
        methods = [one for one in vars(obj) if one.startswith((_FUNCTIONS, "test_"))]
        if is_own and methods and name.startswith(("Check", "Test")):
            what = f"{name}.{methods[0]} is in a class"
    elif name.startswith(_FUNCTIONS):
        if collector.istestfunction(obj, name) and not _is_function(obj):
            what = f"{name} is no function"
    elif is_own and name.startswith("test_") and inspect.isfunction(obj):
        what = f"{name} has another name" if "pair" in inspect.signature(obj).parameters else ""
    if what:
        raise collector.CollectError(
            f"{what}, and would not be run: the checks of a file {_FILES} are its functions {_FUNCTIONS}*."
        )


def _is_function(obj: object) -> bool:
    """As pytest sees it: what is in a `functools.partial` or a decorator counts."""
    obj = inspect.unwrap(getattr(obj, "__func__", obj))  # type: ignore[arg-type]  # it can be called
    return _is_function(obj.func) if isinstance(obj, partial) else inspect.isfunction(obj)


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
    checking = _checking_of(item)
    if checking is None:
        return
    if not item.nodeid.isprintable() or len(item.nodeid) > _LONGEST_NAME:
        raise pytest.UsageError(
            f"{terminal.shown(item.nodeid)}: a check has a name of at most {_LONGEST_NAME:,} characters, "
            "none of them a control character. Rename the file or the function."
        )
    item.stash[_SETTINGS] = _settings(item)
    checking.learn(_blank(item, CheckState.NOT_RUN))


def pytest_deselected(items: list[pytest.Item]) -> None:
    """What is left out is recorded: it closes the gate."""
    for item in items:
        checking = _checking_of(item)
        if checking is not None:
            checking.learn(_blank(item, CheckState.DESELECTED))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Subscribe the checks on items that were selected: one pass serves them all."""
    checking = session.config.stash[CHECKING]
    checking.rests()
    if session.config.option.collectonly or session.config.option.ddb_plan:
        return
    for item in session.items:
        check, pair = getattr(getattr(item, "obj", None), "ddb_item_check", None), _pair_of(item)
        if pair is None:
            continue
        settings = item.stash[_SETTINGS]
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
    wanted = {pair.id for item in session.items if (pair := _pair_of(item)) is not None}
    for pair in checking.pairs:
        if pair.id not in wanted:
            continue
        single = msgspec.structs.replace(checking.config, tables=(pair.settings,))
        try:
            text = plan.text(plan.plan(single))
        except DdbVerifyError as error:
            text = f"{pair.settings}: {error}"
        if reporter is not None:
            reporter.section(f"{pair.id}: what one pass costs")
            reporter.write_line(text)


@pytest.hookimpl(wrapper=True, trylast=True)  # innermost: pytest's own recorder of warnings never sees them
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Note that a check begins, and keep to ourselves what it warns of: the text may hold values."""
    checking = _checking_of(item)
    if checking is None or checking.reveal:
        return (yield)
    checking.begins(_check_id(item))
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
    with learning(item.stash.get(_SETTINGS, _BY_DEFAULT)) as verdicts, _watched(item, "call"):
        item.stash[_VERDICTS] = verdicts
        began, reading = time.perf_counter(), checking.seconds_reading
        try:
            with _nothing_returned(item):
                result = yield
        finally:
            passes = checking.seconds_reading - reading
            item.stash[_SECONDS] = max(0.0, time.perf_counter() - began - passes)
    with _watched(item, "controls"):
        _require_sight(item)
    return result


@contextmanager
def _nothing_returned(item: pytest.Item) -> Iterator[None]:
    """A check that ends with ``return a == b`` has asserted nothing. Pytest warns of it; here it decides."""
    if _checking_of(item) is None:
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
    checking = _checking_of(item)
    if checking is None:
        yield
        return
    settings = item.stash.get(_SETTINGS, _BY_DEFAULT)
    checking.runs(f"{_check_id(item)} ({phase})", f"{_check_id(item)} {phase}", settings.time_limit)
    try:
        yield
    except KeyboardInterrupt as error:
        if interrupts.came():
            raise
        raise _OwnInterrupt().with_traceback(error.__traceback__) from None


def _require_sight(item: pytest.Item) -> None:
    """A check that passes on what it claims to notice has not decided anything."""
    covers = item.stash.get(_SETTINGS, _BY_DEFAULT).covers
    passed = all(verdict.outcome is Outcome.PASSED for verdict in item.stash.get(_VERDICTS, []))
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


@pytest.hookimpl(wrapper=True, tryfirst=True)  # outermost: it sees what skip and xfail made of the report
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn exceptions into states, and replace everything that could hold a value."""
    report = yield
    checking = _checking_of(item)
    if checking is None:
        return report
    if not checking.reveal:
        report.sections = []  # what the check printed or logged
        report.ddb_hides = True  # type: ignore[attr-defined]  # read back by pytest_runtest_logreport
    known = checking.checks.get(_check_id(item)) or _blank(item, CheckState.NOT_RUN)
    state = _state(report, call, item.stash.get(_VERDICTS, []))
    if state is None:
        return report
    message = _message(state, call, item)
    # A refuted claim stays refuted, whatever its clean-up does; and of a check in parts (`subtests`),
    # whose parts report before the whole, the whole has not passed where a part has not.
    in_part = state is CheckState.PASSED and known.state is not CheckState.NOT_RUN
    if known.state is CheckState.FAILED or in_part:
        state = known.state
        message = message or checking.messages.get(_check_id(item), "")
    if report.when == "call" or state is not CheckState.PASSED:
        check = _with_verdicts(item, state, item.stash.get(_VERDICTS, []), call)
        checking.learn(check, message)
        # Pytest writes the properties down once, at the end: only the last word on a check counts.
        item.user_properties[:] = [one for one in item.user_properties if not str(one[0]).startswith("ddb_")]
        item.user_properties += _properties(check)
        report.user_properties = list(item.user_properties)
    _show(report, state, message, item)
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


def _pair_of(item: pytest.Item) -> Pair | None:
    callspec = getattr(item, "callspec", None)
    pair = callspec.params.get("pair") if callspec is not None else None
    return pair if isinstance(pair, Pair) else None


def _is_check_file(path: Path) -> bool:
    return fnmatch.fnmatch(path.name, _FILES)


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
        if path.is_file() and _is_check_file(path):
            return True
        for _, names, files in os.walk(path):
            if any(_is_check_file(Path(file)) for file in files):
                return True
            names[:] = [name for name in names if not any(fnmatch.fnmatch(name, glob) for glob in ignored)]
    return False


def _checking_of(item: pytest.Item) -> Checking | None:
    """What is known of the session, if *item* is one of its checks."""
    checking = item.config.stash[CHECKING]
    is_one = checking.is_gated or _pair_of(item) is not None or item.getparent(CheckModule) is not None
    return checking if is_one else None


def _check_id(item: pytest.Item) -> str:
    return item.nodeid


def _blank(item: pytest.Item, state: CheckState) -> CheckRecord:
    pair = _pair_of(item)
    function = getattr(item, "originalname", None) or item.name
    settings = item.stash.get(_SETTINGS, _BY_DEFAULT)
    return CheckRecord(
        id=_check_id(item),
        name=f"{item.nodeid.partition('::')[0]}::{function}",
        pair=pair.id if pair is not None else None,
        state=state,
        severity=settings.severity,
        coverage=settings.coverage,
    )


def _settings(item: pytest.Item) -> CheckSettings:
    """What `ddbverify.check`, or the nearest marker of the same meaning, says about a check."""
    decorated = getattr(getattr(item, "obj", None), SETTINGS, None)
    if isinstance(decorated, CheckSettings):
        return decorated
    marker = item.get_closest_marker(MARKER)
    if marker is None:
        return _BY_DEFAULT
    try:
        return settings_of(*marker.args, **marker.kwargs)
    except (MarkError, TypeError) as error:
        raise pytest.UsageError(f"{item.nodeid}: @pytest.mark.{MARKER}: {error}") from error


def _properties(check: CheckRecord) -> list[tuple[str, object]]:
    """What a JUnit report says about a check, beside how it ended."""
    return [
        ("ddb_pair", check.pair or ""),
        ("ddb_state", str(check.state)),
        ("ddb_severity", str(check.severity)),
        ("ddb_coverage", str(check.coverage)),
        ("ddb_examined", check.examined),
        ("ddb_findings", check.findings),
        ("ddb_tolerated", check.tolerated),
        ("ddb_seconds", round(check.seconds, 6)),
    ]


def _with_verdicts(
    item: pytest.Item, state: CheckState, verdicts: list[Verdict], call: pytest.CallInfo[None]
) -> CheckRecord:
    blank = _blank(item, state)
    decided = state in (CheckState.PASSED, CheckState.FAILED)
    error = call.excinfo.value if call.excinfo else None
    refuted = sum(verdict.refuted for verdict in verdicts)
    item_check, pair = getattr(getattr(item, "obj", None), "ddb_item_check", None), _pair_of(item)
    seconds = item.stash.get(_SECONDS, 0.0)
    if item_check is not None and pair is not None and pair.compared is not None:
        inspected = pair.compared.inspected.get(item_check.id)
        seconds = inspected.seconds if inspected else seconds
    return msgspec.structs.replace(
        blank,
        # Without a verdict it has examined the one thing it was given.
        examined=sum(verdict.examined for verdict in verdicts) if verdicts or not decided else 1,
        findings=refuted or int(state is CheckState.FAILED),
        tolerated=sum(verdict.tolerated for verdict in verdicts if verdict.refuted),
        seconds=seconds,
        accepted=tuple(one for verdict in verdicts for one in verdict.accepted),
        only_churning=state is CheckState.INCONCLUSIVE
        and isinstance(error, StillChurning)
        and all(verdict.only_churning or verdict.outcome is Outcome.PASSED for verdict in verdicts),
    )


def _state(
    report: pytest.TestReport, call: pytest.CallInfo[None], verdicts: list[Verdict]
) -> CheckState | None:
    """What one phase of a check says about it; ``None`` when it says nothing new."""
    if hasattr(report, "wasxfail") or (report.failed and call.excinfo is None):
        return CheckState.XFAILED  # also one that was expected to fail and passed
    if report.skipped:
        return CheckState.SKIPPED
    if report.when != "call":
        return CheckState.ERRORED if report.failed else None
    outcomes = {verdict.outcome for verdict in verdicts}
    error = call.excinfo.value if call.excinfo else None
    # The verdict counts, not what the function did with the exception that it got for it.
    if isinstance(error, AssertionError | pytest.fail.Exception) or Outcome.FAILED in outcomes:
        return CheckState.FAILED
    if isinstance(error, _UNDECIDED) or (error is None and Outcome.INCONCLUSIVE in outcomes):
        return CheckState.INCONCLUSIVE
    return CheckState.PASSED if error is None else CheckState.ERRORED


def _message(state: CheckState, call: pytest.CallInfo[None], item: pytest.Item) -> str:
    """What may be shown: our own words, or the place; other messages could hold values."""
    if call.excinfo is None:
        swallowed = state in (CheckState.FAILED, CheckState.INCONCLUSIVE)
        return "the check went on after a verdict that had not passed" if swallowed else ""
    error = call.excinfo.value
    if isinstance(error, DdbVerifyError):
        return str(error)
    if item.config.stash[CHECKING].reveal:
        return f"{state}: {call.excinfo.getrepr(style='short', showlocals=True)}"
    name = "KeyboardInterrupt" if isinstance(error, _OwnInterrupt) else kind_of(type(error))
    return f"{state}: {name} {_place(call.excinfo, item.path)}"


def _place(excinfo: pytest.ExceptionInfo[BaseException], path: Path) -> str:
    """The last line of the user's own file that the error went through, as source text."""
    numbers = [entry.lineno + 1 for entry in excinfo.traceback if Path(entry.path) == path]
    if not numbers:
        return f"outside {path.name}"
    source = linecache.getline(str(path), numbers[-1]).strip()
    return f"at {path.name}:{numbers[-1]}: {source}"


def _show(report: pytest.TestReport, state: CheckState, message: str, item: pytest.Item) -> None:
    report.ddb_state = state  # type: ignore[attr-defined]  # read back by pytest_report_teststatus
    refused = state in (CheckState.FAILED, CheckState.INCONCLUSIVE, CheckState.ERRORED)
    if refused and item.stash.get(_SETTINGS, _BY_DEFAULT).severity is Severity.WARN:
        report.ddb_warns = True  # type: ignore[attr-defined]
        # Not "passed" where a fixture has failed: pytest would go on to call the check without it.
        report.outcome = "skipped" if report.when == "setup" else "passed"
        skipped = (str(item.path), item.location[1] or 0, f"Skipped: {message}")
        report.longrepr = skipped if report.when == "setup" else None
    elif refused:
        report.outcome = "failed"  # also where the check swallowed its verdict
        report.longrepr = message
    elif report.when == "call" and state is CheckState.SKIPPED:
        report.longrepr = (str(item.path), item.location[1] or 0, "Skipped: by the check itself")
    elif report.when == "call" and state is CheckState.XFAILED:
        report.longrepr = message
        report.wasxfail = ""  # the reason may be made of values
