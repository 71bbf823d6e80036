"""How a check is run and what is learned of it: pytest's hooks around each check."""

from __future__ import annotations

import inspect
import time
import warnings
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import pytest

from ddbverify import interrupts
from ddbverify.compare.comparison import Comparison
from ddbverify.compare.inspection import kind_of
from ddbverify.errors import DdbVerifyError, Inconclusive
from ddbverify.evidence.record import CheckState
from ddbverify.reports import plan, plan_text
from ddbverify.session import reached, unlooked
from ddbverify.session.pytest import telling
from ddbverify.session.pytest.items import (
    CHECKING,
    OWN,
    blank_record,
    checking_of,
    is_shipped,
    item_check_of,
    pair_of,
    settings_of,
)
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
from ddbverify.session.pytest.unloaded import require_its_plugins
from ddbverify.suite.blindness import unnoticed_by
from ddbverify.suite.pair import Pair, pass_made, shared_pass
from ddbverify.suite.verdicts import Outcome, Verdict, learning


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Run the checks; with ``--ddb-plan`` say what they would cost instead."""
    config = session.config
    if config.option.ddb_plan and not config.option.collectonly:
        _print_plan(session)
        session.items.clear()
    with interrupts.noticed():
        telling.wait(session)
        return (yield)


def _print_plan(session: pytest.Session) -> None:
    checking = session.config.stash[CHECKING]
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    wanted = {pair.id for item in session.items if (pair := pair_of(item)) is not None}
    made = []
    for pair in checking.pairs:
        if pair.id not in wanted:
            continue
        single = msgspec.structs.replace(checking.config, tables=(pair.settings,))
        try:
            checks = [
                replace(check, stateless=settings_of(item).stateless)
                for item in session.items
                if (own := pair_of(item)) is not None and own.id == pair.id
                if (check := item_check_of(item)) is not None
            ]
            with _captured(session.config):
                made.append(plan.plan(single, checks=checks))
            text = plan_text.text(made[-1])
        except DdbVerifyError as error:
            text = f"{pair.settings}: {error}"
        if reporter is not None:
            reporter.section(f"{pair.id}: what one pass costs")
            reporter.write_line(text)
    if reporter is not None and len(made) > 1:
        reporter.section("all pairs")
        reporter.write_line(plan_text.together(made))


@pytest.hookimpl(wrapper=True, trylast=True)  # innermost: pytest's own recorder of warnings never sees them
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Note that a check begins, and keep to ourselves what it warns of: the text may hold values."""
    checking = checking_of(item)
    if checking is None or checking.reveal:
        return (yield)
    checking.begins(item.nodeid)
    try:
        # With the filters that pytest has set up: what is an error there is one here.
        with warnings.catch_warnings(record=True) as caught:
            return (yield)
    finally:
        checking.rests()
        checking.warned.update(Counter(kind_of(warning.category) for warning in caught))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Watch over fixtures: what they read of the pair, the check goes by."""
    with _watched(item, "setup"), _noting_what_is_read(item):
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
    pair = pair_of(item)
    with (
        learning(settings_of(item), partial(_read_of, pair)) as verdicts,
        _watched(item, "call"),
        _noting_what_is_read(item),
        _claiming(item, verdicts),
        _looking(item, verdicts),
    ):
        item.stash[VERDICTS] = verdicts
        began, reading = time.perf_counter(), checking.seconds_reading
        try:
            require_its_plugins(item)
            with _nothing_returned(item):
                result = yield
        finally:
            passes = checking.seconds_reading - reading
            item.stash[SECONDS] = max(0.0, time.perf_counter() - began - passes)
    with _watched(item, "controls"), _captured(item.config):
        _require_sight(item)
    return result


@contextmanager
def _noting_what_is_read(item: pytest.Item) -> Iterator[None]:
    """A check that reads the comparison as a whole, itself or in a fixture, cannot be shown changes only."""
    pair = pair_of(item)
    if pair is None:
        yield
        return
    noted, pair.by_key = pair.read_whole, settings_of(item).by_key or item_check_of(item) is not None
    try:
        yield
    finally:
        if pair.read_whole and not noted:
            item.config.stash[CHECKING].note_whole(item.nodeid)


def _read_of(pair: Pair | None) -> Comparison | None:
    """The shared pass, made for a check that has examined nothing only where that may be right."""
    if pair is None:
        return None
    return shared_pass(pair) if pair.settings.may_be_empty else pass_made(pair)


@contextmanager
def _claiming(item: pytest.Item, verdicts: Sequence[Verdict]) -> Iterator[None]:
    """A check of a pair that ends before it could have failed has passed on whatever the tables hold."""
    if pair_of(item) is None or item_check_of(item) is not None:
        yield
        return
    with reached.following(item.path, alone=item.config.stash[CHECKING].is_gated) as followed:
        yield
    if not verdicts and not followed.claimed:
        raise Inconclusive(
            "Not decided: it claimed nothing: it ended without `require`, and without an assertion that "
            "reads the tables of its pair.",
            "require(...) a verdict, or assert something about the pair, on every way through the check.",
        )


@contextmanager
def _captured(config: pytest.Config) -> Iterator[None]:
    """What a check prints where pytest captures nothing (in its controls, under --ddb-plan) is dropped."""
    manager = config.pluginmanager.get_plugin("capturemanager")
    if manager is None or config.option.capture == "no":  # `-s`: asked for
        yield
        return
    manager.resume_global_capture()
    try:
        yield
    finally:
        manager.suspend_global_capture(in_=False)
        manager.read_global_capture()


@contextmanager
def _looking(item: pytest.Item, verdicts: Sequence[Verdict]) -> Iterator[None]:
    """What a check starts beside itself may fail, too: a thread, a job of an executor, a task."""
    if checking_of(item) is None:
        yield
        return
    with unlooked.looking() as met:
        yield
    # A failed `require` in a thread is known, whoever looks at the thread.
    if met.found and not any(verdict.outcome is Outcome.FAILED for verdict in verdicts):
        raise Inconclusive(
            f"Not decided: nobody looked at what the check had started: {'; '.join(met.found)}.",
            "wait for it in the check and take its result, so that what it raises is raised there.",
        )


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
    finally:
        if OWN in item.config.stash:
            item.config.stash[OWN].end_a_fork()


def _require_sight(item: pytest.Item) -> None:
    """A check that passes on what it claims to notice has not decided anything."""
    covers = settings_of(item).covers
    passed = all(verdict.outcome is Outcome.PASSED for verdict in item.stash.get(VERDICTS, []))
    if not covers or not passed or not isinstance(item, pytest.Function):
        return
    wants = inspect.signature(item.obj).parameters
    given = {name: value for name, value in item.funcargs.items() if name in wants}
    pair = given.get("pair")
    if isinstance(pair, Pair) and shared_pass(pair).of_changes:
        item.stash[SEES] = True  # shown on the pass that this one goes on from, by the same check
        return
    if isinstance(pair, Pair) and shared_pass(pair).may_be_empty and shared_pass(pair).holds_nothing:
        return  # there is nothing to alter: it claims nothing, and there is nothing that it could miss
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
    state = state_of(report, call, item.stash.get(VERDICTS, []), is_shipped=is_shipped(item.path))
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

    And the fourth, letter ``W``: a check of severity "warn" that has not passed fails nothing. A check of
    the default suite that is not applicable has ``-``.
    """
    if getattr(report, "ddb_state", None) == CheckState.NOT_APPLICABLE:
        return "not applicable", "-", ("NOT APPLICABLE", {"cyan": True})
    if getattr(report, "ddb_warns", False):
        return "warned", "W", ("WARNED", {"yellow": True})
    if getattr(report, "ddb_state", None) == CheckState.INCONCLUSIVE and report.failed:
        return "inconclusive", "I", ("INCONCLUSIVE", {"yellow": True})
    return None
