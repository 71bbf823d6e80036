"""
Checks as pytest tests: collected only beside a ``migration.toml``, with a third outcome.

The only importer of pytest. It is installed as an entry point in every project of the user, so
each hook begins by asking whether there is a migration at all, and otherwise does nothing.

A failing check shows the message of our own exceptions, or the place in its source; never a
traceback, an operand or captured output, because those hold the values of items.
"""

from __future__ import annotations

import fnmatch
import hashlib
import importlib.util
import linecache
import os
import secrets
import sys
from collections import defaultdict
from collections.abc import Generator, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from ddbverify import config as configuration
from ddbverify import folders
from ddbverify.causes import CAUSES_SHOWN, Causes, without_depth
from ddbverify.checks import Outcome, Pair, StillChurning, Verdict, learning
from ddbverify.comparison import Comparison, Difference
from ddbverify.errors import ConfigurationError, DdbVerifyError, EngineError, Inconclusive, TransformError
from ddbverify.evidence import tool_version
from ddbverify.findings import FindingsFile
from ddbverify.inspection import Refutation
from ddbverify.marks import SETTINGS, CheckSettings, MarkError, Severity, settings_of
from ddbverify.record import CheckRecord, CheckState, ComparisonRecord, PairRecord, RecordWriter, TableRecord
from ddbverify.summary import accepted_lines, check_table
from ddbverify.words import number_of

_FILES = "check_*.py"
_FUNCTIONS = "check_"
_UNDECIDED = (Inconclusive, EngineError, TransformError)


class _Migration:
    """What this session knows: the configuration, one `Pair` per table, and each check's state."""

    def __init__(self, file: Path, *, sample: str | None, record: Path | None) -> None:
        self.file = file
        self.record = record
        self.checks: dict[str, CheckRecord] = {}
        self.messages: dict[str, str] = {}
        self.writer: RecordWriter | None = None
        self.findings: FindingsFile | None = None
        self.causes: dict[str, Causes] = defaultdict(Causes)  # by pair
        self._sample = sample
        self._config: configuration.Config | None = None
        self._pairs: list[Pair] = []

    @property
    def is_gated(self) -> bool:
        """Whether `ddbverify run` is listening: then every test of the session counts as a check."""
        return self.record is not None

    @property
    def config(self) -> configuration.Config:
        if self._config is None:
            config = configuration.load(self.file)
            if self._sample is not None:
                config = configuration.with_coverage(config, self._sample)
            self._config = config
        return self._config

    @property
    def pairs(self) -> list[Pair]:
        if not self._pairs:
            secret = secrets.token_bytes(32)
            folders.make_importable(self.config)
            fraction = self.config.verification.sampled_fraction
            self._pairs = [
                Pair(self.config, table, fraction=fraction, secret=secret, found=self._found)
                for table in self.config.tables
            ]
        return self._pairs

    @property
    def compared(self) -> Iterable[tuple[Pair, Comparison]]:
        """Pairs whose shared pass has been made, with the pass."""
        return ((pair, pair.compared) for pair in self._pairs if pair.compared is not None)

    @property
    def refused(self) -> Iterable[Pair]:
        """Pairs of which AWS let nothing be read."""
        return (pair for pair in self._pairs if pair.was_refused)

    def _found(self, pair_id: str, one: Difference | Refutation, key_hash: str) -> None:
        # At once: what was written survives whatever becomes of the session.
        if isinstance(one, Refutation):
            if self.findings is not None:
                self.findings.write_refutation(pair_id, one, key_hash=key_hash)
            return
        self.causes[pair_id].add(one.state, map(without_depth, one.paths), one.reason)
        if self.findings is not None:
            self.findings.write(pair_id, one, key_hash=key_hash)

    def learn(self, check: CheckRecord, message: str = "") -> None:
        self.checks[check.id] = check
        if message:
            self.messages[check.id] = message
        if self.writer is not None:
            self.writer.check(check)


_MIGRATION = pytest.StashKey[_Migration]()
_VERDICTS = pytest.StashKey[list[Verdict]]()
_SETTINGS = pytest.StashKey[CheckSettings]()
_MARKER = "ddb_check"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our options; harmless where there is no migration."""
    group = parser.getgroup("ddbverify", "migration checks (ddbverify)")
    group.addoption("--ddb-config", metavar="FILE", help="migration.toml whose tables are checked")
    group.addoption("--ddb-sample", metavar="PERCENT", help="read a sample instead, such as 0.5%%")
    group.addoption("--ddb-record", metavar="FILE", help="write the raw record; used by `ddbverify run`")


def pytest_configure(config: pytest.Config) -> None:
    """Find the migration, if there is one, and refuse what would read the tables more than once."""
    config.addinivalue_line(
        "markers",
        f"{_MARKER}(severity, coverage, tolerate, covers, time_limit): how a migration check counts; "
        "the same as ddbverify.check, and usable for a whole file as `pytestmark`",
    )
    file = _migration_file(config)
    if file is None:
        return
    record = config.getoption("--ddb-record")
    migration = _Migration(
        file, sample=config.getoption("--ddb-sample"), record=Path(record) if record else None
    )
    config.stash[_MIGRATION] = migration
    if _is_distributed(config) and _collects_checks(config):
        raise pytest.UsageError(
            "migration checks cannot be distributed by xdist: each worker would read both tables again. "
            "Leave out -n for checks; one process reads the tables in parallel itself."
        )


def pytest_sessionstart(session: pytest.Session) -> None:
    """Begin the record before anything of the user's is imported for collection."""
    migration = session.config.stash.get(_MIGRATION, None)
    if migration is None or migration.record is None:
        return
    migration.writer = RecordWriter(migration.record)
    migration.findings = FindingsFile(migration.record.with_name(folders.FINDINGS))
    versions = {"ddbverify": tool_version(), "pytest": pytest.__version__}
    for _, distribution in session.config.pluginmanager.list_plugin_distinfo():
        versions[distribution.metadata["Name"]] = distribution.version
    migration.writer.plugins(versions)


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Refuse a broken configuration once, instead of once per file."""
    migration = session.config.stash.get(_MIGRATION, None)
    if migration is not None and _collects_checks(session.config):
        _pairs(migration)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Collect ``check_*.py``, unless pytest's own collector is about to."""
    if _MIGRATION not in parent.config.stash or not _is_check_file(file_path):
        return None
    # A file that is named on the command line, or that `python_files` matches, comes back to us
    # through pytest_pycollect_makemodule; collected here as well, it would run twice.
    patterns: list[str] = parent.config.getini("python_files")
    if parent.session.isinitpath(file_path) or any(
        fnmatch.fnmatch(file_path.name, pattern) for pattern in patterns
    ):
        return None
    return _CheckModule.from_parent(parent, path=file_path)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Make pytest's own collector take our module for check files."""
    if _MIGRATION not in parent.config.stash or not _is_check_file(module_path):
        return None
    return _CheckModule.from_parent(parent, path=module_path)


class _CheckModule(pytest.Module):
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
        spec = importlib.util.spec_from_file_location(name, self.path)
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
            raise self.CollectError(f"{type(error).__name__} {where}: {error}") from None
        return module


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each check that asks for a ``pair`` every pair; never a key in an id."""
    migration = metafunc.config.stash.get(_MIGRATION, None)
    if migration is None or metafunc.definition.getparent(_CheckModule) is None:
        return
    if "pair" in metafunc.fixturenames:
        pairs = _pairs(migration)
        metafunc.parametrize("pair", pairs, ids=[pair.id for pair in pairs])


def pytest_itemcollected(item: pytest.Item) -> None:
    """A check that was collected counts as not run until something better is known."""
    migration = _migration_of(item)
    if migration is not None:
        item.stash[_SETTINGS] = _settings(item)
        migration.learn(_blank(item, CheckState.NOT_RUN))


def pytest_deselected(items: list[pytest.Item]) -> None:
    """What is left out is recorded: it closes the gate."""
    for item in items:
        migration = _migration_of(item)
        if migration is not None:
            migration.learn(_blank(item, CheckState.DESELECTED))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Subscribe the checks on items that were selected: one pass serves them all."""
    if session.config.option.collectonly:
        return
    for item in session.items:
        check = getattr(getattr(item, "obj", None), "ddb_item_check", None)
        pair = item.callspec.params.get("pair") if hasattr(item, "callspec") else None
        if check is not None and isinstance(pair, Pair):
            pair.subscribe(check)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Gather what the check learns, also where it raises."""
    with learning(item.stash.get(_SETTINGS, CheckSettings())) as verdicts:
        item.stash[_VERDICTS] = verdicts
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # outermost: it sees what skip and xfail made of the report
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn exceptions into states, and replace everything that could hold a value."""
    report = yield
    migration = _migration_of(item)
    if migration is None:
        return report
    report.sections = []  # what the check printed or logged
    known = migration.checks.get(_check_id(item)) or _blank(item, CheckState.NOT_RUN)
    state = _state(report, call, item.stash.get(_VERDICTS, []))
    if state is None:
        return report
    if report.when == "teardown" and known.state is CheckState.FAILED:
        state = CheckState.FAILED  # a refuted claim stays refuted, whatever its clean-up does
    message = _message(state, call, item)
    if report.when == "call" or state is not CheckState.PASSED:
        check = _with_verdicts(item, state, item.stash.get(_VERDICTS, []), call)
        migration.learn(check, message)
        item.user_properties += _properties(check)
    _show(report, state, message, item)
    return report


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


def pytest_report_header(config: pytest.Config) -> list[str] | None:
    """Say which migration is checked. Its ARNs cost a call, so they come with the summary."""
    migration = config.stash.get(_MIGRATION, None)
    return None if migration is None else [f"migration: {migration.file}"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """One line per check, and the messages of those that pytest does not list as failed."""
    migration = config.stash.get(_MIGRATION, None)
    if migration is None or not migration.checks or config.option.collectonly:
        return
    terminalreporter.section("migration checks")
    for pair, comparison in migration.compared:
        terminalreporter.write_line(f"{pair.id}: {pair.source.arn} -> {pair.target.arn}")
        terminalreporter.write_line(f"  {_counts(comparison)}")
        causes = migration.causes[pair.id]
        for cause in causes.most_common(CAUSES_SHOWN):
            share = cause.findings / causes.findings
            terminalreporter.write_line(
                f"  {share:5.0%}  {cause.text} ({number_of(cause.findings, 'finding')})"
            )
    for line in check_table(list(migration.checks.values())).splitlines():
        terminalreporter.write_line(line)
    for line in accepted_lines(list(migration.checks.values())):
        terminalreporter.write_line(line)
    for check in migration.checks.values():
        message = migration.messages.get(check.id)
        if message and (check.state is CheckState.INCONCLUSIVE or not check.counts):
            terminalreporter.write_line(f"\n{check.id}\n  {message}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Close the record. Without this line the run is taken for dead."""
    migration = session.config.stash.get(_MIGRATION, None)
    if migration is None or migration.writer is None or migration.record is None:
        return
    for pair, comparison in migration.compared:
        migration.writer.pair(
            PairRecord(
                id=pair.id,
                source=TableRecord.of(pair.source),
                target=TableRecord.of(pair.target),
                comparison=ComparisonRecord.of(comparison),
            )
        )
    for pair in migration.refused:
        migration.writer.pair(PairRecord(id=pair.id, refused=True))
    if migration.findings is not None:
        migration.findings.close()
    migration.writer.end(int(exitstatus))


def _migration_file(config: pytest.Config) -> Path | None:
    named: str | None = config.getoption("--ddb-config")
    if named is not None:
        file: Path = config.invocation_params.dir / named
        if not file.is_file():
            raise pytest.UsageError(f"--ddb-config: there is no file {named}")
        return file
    for folder in (config.invocation_params.dir, config.rootpath):
        if (folder / configuration.FILE_NAME).is_file():
            return folder / configuration.FILE_NAME
    return None


def _pairs(migration: _Migration) -> list[Pair]:
    try:
        return migration.pairs
    except ConfigurationError as error:
        raise pytest.UsageError(str(error)) from error


def _is_check_file(path: Path) -> bool:
    return fnmatch.fnmatch(path.name, _FILES)


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


def _migration_of(item: pytest.Item) -> _Migration | None:
    """The migration, if *item* is one of its checks."""
    migration = item.config.stash.get(_MIGRATION, None)
    if migration is None or (not migration.is_gated and item.getparent(_CheckModule) is None):
        return None
    return migration


def _check_id(item: pytest.Item) -> str:
    return item.nodeid


def _blank(item: pytest.Item, state: CheckState) -> CheckRecord:
    callspec = getattr(item, "callspec", None)
    pair = callspec.params.get("pair") if callspec is not None else None
    function = getattr(item, "originalname", None) or item.name
    settings = item.stash.get(_SETTINGS, CheckSettings())
    return CheckRecord(
        id=_check_id(item),
        name=f"{item.nodeid.partition('::')[0]}::{function}",
        pair=pair.id if isinstance(pair, Pair) else None,
        state=state,
        severity=settings.severity,
        coverage=settings.coverage,
    )


def _settings(item: pytest.Item) -> CheckSettings:
    """What `ddbverify.check`, or the nearest marker of the same meaning, says about a check."""
    decorated = getattr(getattr(item, "obj", None), SETTINGS, None)
    if isinstance(decorated, CheckSettings):
        return decorated
    marker = item.get_closest_marker(_MARKER)
    if marker is None:
        return CheckSettings()
    try:
        return settings_of(*marker.args, **marker.kwargs)
    except (MarkError, TypeError) as error:
        raise pytest.UsageError(f"{item.nodeid}: @pytest.mark.{_MARKER}: {error}") from error


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
    return msgspec.structs.replace(
        blank,
        # Without a verdict it has examined the one thing it was given.
        examined=sum(verdict.examined for verdict in verdicts) if verdicts or not decided else 1,
        findings=refuted or int(state is CheckState.FAILED),
        tolerated=sum(verdict.tolerated for verdict in verdicts if verdict.refuted),
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
    return f"{state}: {type(error).__name__} {_place(call.excinfo, item.path)}"


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
    if refused and item.stash.get(_SETTINGS, CheckSettings()).severity is Severity.WARN:
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


def _counts(comparison: Comparison) -> str:
    part = (
        f"a sample, {comparison.segments_planned} of {comparison.segments_total} segments"
        if comparison.is_sample
        else "full coverage"
    )
    counted = ", ".join(f"{count} {state}" for state, count in comparison.counts.items() if count)
    units = comparison.source.read_units + comparison.target.read_units
    return f"{part}: {counted or 'no keys'}; {comparison.converged} converged; {units:g} read units"
