"""
Checks as pytest tests, in projects with a ``migration.toml``: collected, with a third outcome.

Registered by `ddbverify.pytest_plugin` where there is a migration, and imported nowhere else: it
needs boto3 and the rest of the package.

A failing check shows the message of our own exceptions, or the place in its source; never a
traceback, an operand or captured output, because those hold the values of items.
"""

from __future__ import annotations

import fnmatch
import hashlib
import importlib.util
import inspect
import linecache
import os
import sys
from collections.abc import Generator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from ddbverify import folders
from ddbverify.blindness import covered_attributes, unnoticed_by
from ddbverify.causes import CAUSES_SHOWN
from ddbverify.checking import Checking
from ddbverify.checks import Outcome, Pair, StillChurning, Verdict, learning
from ddbverify.comparison import Comparison
from ddbverify.errors import ConfigurationError, DdbVerifyError, EngineError, Inconclusive, TransformError
from ddbverify.evidence import tool_version
from ddbverify.findings import FindingsFile
from ddbverify.marks import SETTINGS, CheckSettings, MarkError, Severity, settings_of
from ddbverify.pytest_plugin import MARKER, MIGRATION_FILE
from ddbverify.record import CheckRecord, CheckState, ComparisonRecord, PairRecord, RecordWriter, TableRecord
from ddbverify.summary import accepted_lines, check_table
from ddbverify.words import number_of

_FILES = "check_*.py"
_FUNCTIONS = "check_"
_UNDECIDED = (Inconclusive, EngineError, TransformError)


_CHECKING = pytest.StashKey[Checking]()
_VERDICTS = pytest.StashKey[list[Verdict]]()
_SETTINGS = pytest.StashKey[CheckSettings]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin a session of checks; refuse what would read the tables more than once."""
    file = config.stash[MIGRATION_FILE]
    record = config.getoption("--ddb-record")
    config.stash[_CHECKING] = Checking(
        file, sample=config.getoption("--ddb-sample"), record=Path(record) if record else None
    )
    if _is_distributed(config) and _collects_checks(config):
        raise pytest.UsageError(
            "migration checks cannot be distributed by xdist: each worker would read both tables again. "
            "Leave out -n for checks; one process reads the tables in parallel itself."
        )


def pytest_sessionstart(session: pytest.Session) -> None:
    """Begin the record before anything of the user's is imported for collection."""
    checking = session.config.stash[_CHECKING]
    if checking.record is None:
        return
    checking.writer = RecordWriter(checking.record)
    checking.findings = FindingsFile(checking.record.with_name(folders.FINDINGS))
    versions = {"ddbverify": tool_version(), "pytest": pytest.__version__}
    for _, distribution in session.config.pluginmanager.list_plugin_distinfo():
        versions[distribution.metadata["Name"]] = distribution.version
    checking.writer.plugins(versions)


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Refuse a broken configuration once, instead of once per file."""
    if _collects_checks(session.config):
        _pairs(session.config.stash[_CHECKING])


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
    return _CheckModule.from_parent(parent, path=file_path)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Make pytest's own collector take our module for check files."""
    if not _is_check_file(module_path):
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
    if metafunc.definition.getparent(_CheckModule) is None:
        return
    if "pair" in metafunc.fixturenames:
        pairs = _pairs(metafunc.config.stash[_CHECKING])
        metafunc.parametrize("pair", pairs, ids=[pair.id for pair in pairs])


def pytest_itemcollected(item: pytest.Item) -> None:
    """A check that was collected counts as not run until something better is known."""
    checking = _checking_of(item)
    if checking is not None:
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
    if session.config.option.collectonly:
        return
    for item in session.items:
        check = getattr(getattr(item, "obj", None), "ddb_item_check", None)
        pair = item.callspec.params.get("pair") if hasattr(item, "callspec") else None
        if isinstance(pair, Pair):
            if check is not None:
                pair.subscribe(check)
            pair.will_alter(covered_attributes(item.stash.get(_SETTINGS, CheckSettings()).covers))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Gather what the check learns, also where it raises."""
    with learning(item.stash.get(_SETTINGS, CheckSettings())) as verdicts:
        item.stash[_VERDICTS] = verdicts
        result = yield
    _require_sight(item)
    return result


def _require_sight(item: pytest.Item) -> None:
    """A check that passes on what it claims to notice has not decided anything."""
    covers = item.stash.get(_SETTINGS, CheckSettings()).covers
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
    report.sections = []  # what the check printed or logged
    known = checking.checks.get(_check_id(item)) or _blank(item, CheckState.NOT_RUN)
    state = _state(report, call, item.stash.get(_VERDICTS, []))
    if state is None:
        return report
    if report.when == "teardown" and known.state is CheckState.FAILED:
        state = CheckState.FAILED  # a refuted claim stays refuted, whatever its clean-up does
    message = _message(state, call, item)
    if report.when == "call" or state is not CheckState.PASSED:
        check = _with_verdicts(item, state, item.stash.get(_VERDICTS, []), call)
        checking.learn(check, message)
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


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say which migration is checked. Its ARNs cost a call, so they come with the summary."""
    return [f"migration: {config.stash[_CHECKING].file}"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """One line per check, and the messages of those that pytest does not list as failed."""
    checking = config.stash[_CHECKING]
    if not checking.checks or config.option.collectonly:
        return
    terminalreporter.section("migration checks")
    for pair, comparison in checking.compared:
        terminalreporter.write_line(f"{pair.id}: {pair.source.arn} -> {pair.target.arn}")
        terminalreporter.write_line(f"  {_counts(comparison)}")
        causes = checking.causes[pair.id]
        for cause in causes.most_common(CAUSES_SHOWN):
            share = cause.findings / causes.findings
            terminalreporter.write_line(
                f"  {share:5.0%}  {cause.text} ({number_of(cause.findings, 'finding')})"
            )
    for line in check_table(list(checking.checks.values())).splitlines():
        terminalreporter.write_line(line)
    for line in accepted_lines(list(checking.checks.values())):
        terminalreporter.write_line(line)
    for check in checking.checks.values():
        message = checking.messages.get(check.id)
        if message and (check.state is CheckState.INCONCLUSIVE or not check.counts):
            terminalreporter.write_line(f"\n{check.id}\n  {message}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Close the record. Without this line the run is taken for dead."""
    checking = session.config.stash[_CHECKING]
    if checking.writer is None or checking.record is None:
        return
    for pair, comparison in checking.compared:
        checking.writer.pair(
            PairRecord(
                id=pair.id,
                source=TableRecord.of(pair.source),
                target=TableRecord.of(pair.target),
                comparison=ComparisonRecord.of(comparison),
            )
        )
    for pair in checking.refused:
        checking.writer.pair(PairRecord(id=pair.id, refused=True))
    if checking.findings is not None:
        checking.findings.close()
    checking.writer.end(int(exitstatus))


def _pairs(checking: Checking) -> list[Pair]:
    try:
        return checking.pairs
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


def _checking_of(item: pytest.Item) -> Checking | None:
    """What is known of the session, if *item* is one of its checks."""
    checking = item.config.stash[_CHECKING]
    if not checking.is_gated and item.getparent(_CheckModule) is None:
        return None
    return checking


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
    marker = item.get_closest_marker(MARKER)
    if marker is None:
        return CheckSettings()
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
