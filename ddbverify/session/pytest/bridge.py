"""
Our hooks under pytest: from every ``conftest.py`` into our own plugin manager, and files of checks back.

pytest's manager takes no notice of hooks without its prefix, and would not miss a misspelt one.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from types import ModuleType

import pytest

from ddbverify.errors import ConfigurationError
from ddbverify.plugins.finding import CONFTEST
from ddbverify.plugins.fitting import wants_hooks
from ddbverify.session.pytest.items import CHECKING, CheckModule


def pytest_plugin_registered(plugin: object, manager: pytest.PytestPluginManager) -> None:
    """
    Take the hooks of a ``conftest.py``; refuse those of any other plugin of pytest.

    pytest tells of those, too, that were registered before us.
    """
    config = manager.getplugin("pytestconfig")
    if config is None or not wants_hooks(plugin):
        return
    if not isinstance(plugin, ModuleType) or Path(str(plugin.__file__)).name != CONFTEST:
        raise pytest.UsageError(
            f"{manager.get_name(plugin)} is a plugin of pytest and has hooks of ddbverify, which nobody "
            "would call. Offer it as an entry point of the group ddbverify, or import it into a conftest.py."
        )
    try:
        config.stash[CHECKING].add_conftest(plugin)
    except ConfigurationError as error:
        raise pytest.UsageError(str(error)) from error


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Let the files of checks that plugins bring run beside the user's, where a whole folder runs."""
    report = yield
    if not isinstance(collector, pytest.Session) or not report.passed:
        return report
    checking = collector.config.stash[CHECKING]
    if checking.has_pairs and _runs_a_folder(collector.config):
        report.result.extend(
            CheckModule.from_parent(collector, path=file, nodeid=f"{plugin}:{file.name}")
            for plugin, files in checking.plugins.check_files.items()
            for file in files
        )
    return report


def _runs_a_folder(config: pytest.Config) -> bool:
    return any((config.invocation_params.dir / argument).is_dir() for argument in config.args)
