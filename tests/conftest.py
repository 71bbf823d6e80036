"""
Fixtures and options for tests on real engines.

``pytest`` alone runs every test but those of DynamoDB Local, which wants Java:
nothing to skip, nothing to install. ``pytest --engine dynamodb-local`` (that
is what ``make test-engines`` calls) runs the tests of that engine and no
others. Where the engine asked for is missing, its tests are skipped on a
laptop, and fail when ``CI`` is set: a lane that skips everything looks green.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest

from replicator.embedded.aws import EmbeddedAws, embedded_aws
from tests.engines import dynamodb_local_endpoint, missing_for_dynamodb_local

# Hypothesis without its clock: no test asserts a duration, and a busy machine is no failure.
hypothesis.settings.register_profile(
    "busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("busy")

ENGINES = ("ministack", "dynamodb-local")
NOT_BY_DEFAULT = {"dynamodb-local"}

_LEFT_OUT = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--engine", choices=ENGINES, help="run only the tests that need this real engine")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    chosen: str | None = config.getoption("--engine")
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        needed = engines_of(item)
        runs = chosen in needed if chosen else not needed & NOT_BY_DEFAULT
        (kept if runs else left_out).append(item)
    if left_out:
        items[:] = kept
        config.hook.pytest_deselected(items=left_out)
        count = sum("dynamodb-local" in engines_of(item) for item in left_out)
        config.stash[_LEFT_OUT] = count
        if hasattr(config, "workeroutput"):  # a worker of xdist collects; the summary is its controller's
            config.workeroutput["left_out"] = count


@pytest.fixture(autouse=True)
def the_path_of_imports_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that is run in this process puts its project there; the next test has another one."""
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Each worker of xdist has collected the same."""
    node.config.stash[_LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", 0)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    if count := config.stash.get(_LEFT_OUT, 0):
        terminalreporter.write_line(
            f"{count} tests on DynamoDB Local left out; they run in `make test-engines`"
        )


def engines_of(item: pytest.Item) -> set[str]:
    """Return the engines that *item* is marked for."""
    names = {name for mark in item.iter_markers("engine") for name in mark.args}
    if unknown := names - set(ENGINES):
        raise pytest.UsageError(f"{item.nodeid}: no such engine: {', '.join(sorted(unknown))}")
    return names


@pytest.fixture(scope="session", autouse=True)
def no_real_aws() -> Iterator[None]:
    """Hide the user's own AWS from every test: no credentials, no profile, no instance role."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield


@pytest.fixture
def on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a server of the test's own: credentials that are nobody's, no proxy, no waits between attempts."""
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    # botocore sleeps between its attempts; nothing depends on how long.
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)


@pytest.fixture(scope="session")
def aws() -> Iterator[EmbeddedAws]:
    """One embedded AWS for the whole session. It is never reset: use names of your own (``unique``)."""
    with embedded_aws() as running:
        yield running


@pytest.fixture
def unique() -> Callable[[str], str]:
    """Make names that no other test uses: ``unique("orders")`` is ``orders-3f1c…``."""
    return lambda word: f"{word}-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def dynamodb_local() -> Iterator[str]:
    """Endpoint of one DynamoDB Local for the whole session (``tests.engines.local_dynamodb``)."""
    if missing := missing_for_dynamodb_local():
        if os.environ.get("CI"):
            pytest.fail(f"{missing} (never skipped in CI)", pytrace=False)
        pytest.skip(missing)
    with dynamodb_local_endpoint() as endpoint:
        yield endpoint
