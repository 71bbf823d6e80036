"""
No other plugin, and no terminal, gets what the user's code raises, prints or names its parameters after.

Reports are redacted again in `running`; what is here comes before other plugins have seen anything. With
``--ddb-reveal`` nothing is hidden.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator
from typing import Any

import pytest

from ddbverify.session.pytest.items import CHECKING, CheckModule, checking_of
from ddbverify.session.pytest.stand_ins import stand_in
from ddbverify.suite.pair import Pair

# They keep, or print, by ways of their own what a check printed, logged or took as a parameter.
_TELLING = {
    "allure_pytest": "allure-pytest",
    "flaky": "flaky",
    "pytest_jsonreport": "pytest-json-report",
    "pytest_retry": "pytest-retry",
    "pytest_timeout": "pytest-timeout",
}


def refuse_plugins_that_tell(config: pytest.Config) -> None:
    """
    Refuse, in a gated run, plugins that keep or show more than reports.

    Raises:
        pytest.UsageError: One of them is active; it is named.
    """
    for plugin in config.pluginmanager.get_plugins():
        module = getattr(plugin, "__module__", None) or getattr(plugin, "__name__", "")
        name = _TELLING.get(str(module).partition(".")[0])
        if name is not None:
            raise pytest.UsageError(
                f"{name} keeps or shows what checks print, raise or are given, which may hold values: "
                "refused in `ddbverify run`. Take it off [checks] pytest_plugins."
            )


@pytest.hookimpl(wrapper=True, trylast=True)  # innermost: it is the first to see what was raised
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Hide what a fixture raised."""
    return (yield from _hiding(item))


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Hide what a check raised."""
    return (yield from _hiding(item))


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Hide what a fixture raised."""
    return (yield from _hiding(item))


def _hiding(item: pytest.Item) -> Generator[None, object, object]:
    checking = checking_of(item)
    if checking is None or checking.reveal:
        return (yield)
    raised: BaseException
    try:
        return (yield)
    except BaseException as error:  # noqa: BLE001 - a stand-in of it is raised
        raised = error
    # Not inside of `except`: the original would hang on the stand-in as its context.
    raise stand_in(raised)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Hide what a check printed and logged, and what others than the check raised on its behalf."""
    checking = checking_of(item)
    if checking is not None and not checking.reveal:
        item._report_sections.clear()  # noqa: SLF001 - pytest makes every report of them
        if call.excinfo is not None:
            call.excinfo = _told(call.excinfo)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Hide from who looks at the call behind the report what an import raised."""
    report = yield
    checking = collector.config.stash[CHECKING]
    call: Any = getattr(report, "call", None)
    is_ours = isinstance(collector, CheckModule) or checking.is_gated
    if is_ours and not checking.reveal and call is not None and call.excinfo is not None:
        call.excinfo = _told(call.excinfo)
    return report


def _told(excinfo: pytest.ExceptionInfo[BaseException]) -> pytest.ExceptionInfo[BaseException]:
    return pytest.ExceptionInfo.from_exception(stand_in(excinfo.value))


@pytest.hookimpl(wrapper=True, tryfirst=True)  # outermost: every parameter is there
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Generator[None]:
    """Number parameters instead of naming them after their values; a pair keeps its name."""
    yield
    definition = metafunc.definition
    checking = metafunc.config.stash[CHECKING]
    if checking.reveal or not (checking.is_gated or definition.getparent(CheckModule) is not None):
        return
    calls: list[Any] = metafunc._calls  # noqa: SLF001 - ids that are given cannot be changed in any public way
    metafunc._calls = [_numbered(call) for call in calls]  # noqa: SLF001


def _numbered(call: Any) -> Any:
    if not call._idlist:  # noqa: SLF001 - without parameters
        return call
    ids = [
        value.id if isinstance(value, Pair) else f"{name}{call.indices[name]}"
        for name, value in call.params.items()
    ]
    # Most take a pair and nothing else, and are called after it already.
    return call if ids == list(call._idlist) else dataclasses.replace(call, _idlist=ids)  # noqa: SLF001
