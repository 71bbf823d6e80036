"""
How the child process of a gated run is started, so that nothing but ``checks/`` has a say in it. Pure.

Kept out: other plugins, pytest's settings of the project and of the user (`filterwarnings` apart), conftest
files above the checks, and whatever makes Python drop assertions. Arguments after ``--`` may select checks,
not change what a check is; what they leave out closes the gate.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ddbverify.errors import ConfigurationError
from ddbverify.evidence import folders

_INI_TEXT = """\
# Written by `ddbverify run`: of the project's own pytest settings a gated run takes `filterwarnings` only.
[pytest]
addopts =
xfail_strict = true
"""

# PYTHONOPTIMIZE drops `assert`, and with it what checks on items say. PYTHONPATH stays: some
# installations find their packages by it, and this process has been started with it, too.
_NOT_INHERITED = ("PYTHONOPTIMIZE", "PYTHONINSPECT", "PYTHONBREAKPOINT", "PYTHONWARNINGS")

# What would bring other code, other settings or other tables, or write elsewhere.
_REFUSED = (
    *("--config-file", "--override-ini", "--rootdir", "--confcutdir", "--noconftest"),
    # What these leave out is not recorded as left out: -k, -m and --deselect are.
    *("--ignore", "--ignore-glob"),
    # They send what is shown to a service, empty a folder, write over a file, load a debugger.
    *("--pastebin", "--basetemp", "--debug", "--pdbcls"),
    *("--import-mode", "--pyargs", "--assert", "--junit-xml", "--junitxml", "--junit-prefix"),
)
_REFUSED_LETTERS = frozenset("pco")  # a plugin, a configuration file, a setting
_WITH_A_VALUE = "kmrWn" + "".join(_REFUSED_LETTERS)  # what stands behind these letters is their value


def ini_text(filters: Sequence[str]) -> str:
    """The settings of a gated run, with the project's own *filters* of warnings."""
    return _INI_TEXT + "".join(
        ["filterwarnings =\n", *(f"    {one}\n" for one in filters)] if filters else []
    )


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """The child's environment: the one of this process, without what speaks to pytest or drops assertions."""
    kept = {
        name: value
        for name, value in inherited.items()
        if not name.startswith("PYTEST_") and name not in _NOT_INHERITED
    }
    return kept | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def command(
    config_file: Path,
    folder: Path,
    checks: Path,
    *,
    coverage: str | None,
    extra: Sequence[str],
    changed: Path | None = None,
    plugins: Sequence[str] = (),
    watched: bool = False,
) -> list[str]:
    """
    Pytest with our plugin, and none of the user's but ``conftest.py`` in the checks folder itself.

    Args:
        config_file: The ``migration.toml``; the child is started in its folder.
        folder: Of the run. Its ``pytest.ini`` has to hold `ini_text`.
        checks: The suite.
        coverage: Instead of the configured one.
        changed: Folder with the keys that are to be looked at, see `runs.since`.
        extra: Further arguments; ours come after them, since the last one counts.
        plugins: Of pytest, by their entry points; no other is loaded.
        watched: Somebody else shows how far it is, by the event log.
    """
    return [
        # Bytecode that says of itself that its source need not be looked at is held against it all the same.
        # -P: what lies beside migration.toml is found once we are loaded, and never in our place.
        *(sys.executable, "-P", "--check-hash-based-pycs", "always", "-m", "pytest"),
        *extra,
        *("-c", str(folder / folders.SETTINGS), f"--rootdir={checks}", f"--confcutdir={checks}"),
        *("-p", "ddbverify.pytest_plugin", "-p", "no:cacheprovider"),
        *(argument for plugin in plugins for argument in ("-p", plugin)),
        *("--assert=plain", "--disable-warnings", "--strict-markers", "--tb=short", "--color=auto"),
        f"--junit-xml={folder / folders.JUNIT}",
        f"--ddb-config={config_file.resolve()}",
        f"--ddb-record={folder / folders.RECORD}",
        *([f"--ddb-sample={coverage}"] if coverage is not None else []),
        *([f"--ddb-changed={changed}"] if changed is not None else []),
        *(["--ddb-watched"] if watched else []),
        str(checks),
    ]


def require_harmless(extra: Sequence[str], folder: Path, checks: Path) -> None:
    """
    Refuse arguments that would do more than select checks of *checks*.

    Args:
        extra: What stands after ``--``.
        folder: Where the child is started.
        checks: The suite.

    Raises:
        ConfigurationError: One of them would.
    """
    for before, argument in zip([None, *extra], extra, strict=False):
        _require_harmless(argument, folder, checks, is_words=before in ("-k", "-m"))


def _require_harmless(argument: str, folder: Path, checks: Path, *, is_words: bool) -> None:
    if (
        argument.startswith(("@", "--ddb-"))
        or _letters(argument) & _REFUSED_LETTERS
        or any(_names(argument, option) for option in _REFUSED)
    ):
        raise ConfigurationError(
            f"The argument {argument!r} would bring other code or other settings into a gated run.",
            "arguments after -- only select checks (-k, -m, -x, a file of checks/); for all else use "
            "`pytest checks/`, which leaves no evidence.",
        )
    if is_words:
        return
    path = folder / argument.partition("::")[0]
    if not argument.startswith("-") and path.exists() and not path.resolve().is_relative_to(checks):
        raise ConfigurationError(
            f"The argument {argument!r} is not in {checks}, whose checks a gated run is about.",
            "name a file of that folder, or leave it out.",
        )


def _letters(argument: str) -> set[str]:
    """The short options in one argument: ``-vo name=value`` is ``-v -o name=value``."""
    letters = set[str]()
    for letter in argument[1:] if re.match(r"-[^-]", argument) else "":
        letters.add(letter)
        if letter in _WITH_A_VALUE:
            break
    return letters


def _names(argument: str, option: str) -> bool:
    return argument == option or argument.startswith(option + "=")
