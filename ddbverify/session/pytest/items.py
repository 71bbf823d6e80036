"""
A check as an item of pytest: the file that it stands in, its pair, its settings, its record.

What hooks tell each other about it is in pytest's stash, under the keys below.
"""

from __future__ import annotations

import fnmatch
import hashlib
import importlib.util
import inspect
import linecache
import os
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

from ddbverify.code.imports import words_of_an_import
from ddbverify.compare.inspection import ItemCheck, kind_of
from ddbverify.errors import ConfigurationError, DdbVerifyError
from ddbverify.evidence import folders
from ddbverify.evidence.record import CheckRecord, CheckState
from ddbverify.session.checking import Checking
from ddbverify.session.processes import Own
from ddbverify.session.pytest.options import MARKER
from ddbverify.suite import marks
from ddbverify.suite.marks import CheckSettings, MarkError
from ddbverify.suite.pair import Pair

CHECKING = pytest.StashKey[Checking]()
"""Of the session: what it knows."""

OWN = pytest.StashKey[Own]()
"""Of a gated session: what it shares with no process that a check forks off."""

_SETTINGS = pytest.StashKey[CheckSettings]()
"""Of an item: how it counts."""

_BY_DEFAULT: Final = CheckSettings()

_FILES: Final = "check_*.py"
_FUNCTIONS: Final = "check_"
WHAT_IS_RUN: Final = f"the checks of a file {_FILES} are its functions {_FUNCTIONS}*"


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
            where = place(pytest.ExceptionInfo.from_exception(error), self.path)
            text = str(error) if isinstance(error, (MarkError, DdbVerifyError)) or self._reveals else ""
            text = text or words_of_an_import(error)
            said = f"{kind_of(type(error))} {where}" + (f": {text}" if text else "")
            raise self.CollectError(said) from None
        return module

    @property
    def _reveals(self) -> bool:
        return self.config.stash[CHECKING].reveal

    def _rewriting(self) -> Any:
        """Pytest's rewriting loader where operands are to be shown; ``None``: Python's own."""
        if not self._reveals:
            return None
        return next((one for one in sys.meta_path if type(one).__name__ == "AssertionRewritingHook"), None)


def overlooked(module: CheckModule, name: str, obj: object) -> str:
    """What *obj* is, in words, if its author takes it for a check and pytest steps over it; else nothing."""
    is_own = getattr(obj, "__module__", None) == module.obj.__name__
    if inspect.isclass(obj):
        methods = [one for one in vars(obj) if one.startswith((_FUNCTIONS, "test_"))]
        if is_own and methods and name.startswith(("Check", "Test")):
            return f"{name}.{methods[0]} is in a class"
    elif name.startswith(_FUNCTIONS):
        if module.istestfunction(obj, name) and not _is_function(obj):
            return f"{name} is no function"
    elif is_own and name.startswith("test_") and inspect.isfunction(obj):
        return f"{name} has another name" if "pair" in inspect.signature(obj).parameters else ""
    return ""


def _is_function(obj: object) -> bool:
    """As pytest sees it: what is in a `functools.partial` or a decorator counts."""
    obj = inspect.unwrap(getattr(obj, "__func__", obj))  # type: ignore[arg-type]  # it can be called
    return _is_function(obj.func) if isinstance(obj, partial) else inspect.isfunction(obj)


def is_check_file(path: Path) -> bool:
    """Whether a file of this name holds checks."""
    return fnmatch.fnmatch(path.name, _FILES)


def is_shipped(path: Path) -> bool:
    """Whether a file is one of the default suite, letter for letter as it came with us."""
    own = folders.default_suite() / path.name
    return own.is_file() and path.is_file() and own.read_bytes() == path.read_bytes()


def checking_of(item: pytest.Item) -> Checking | None:
    """What is known of the session, if *item* is one of its checks."""
    checking = item.config.stash[CHECKING]
    is_one = checking.is_gated or pair_of(item) is not None or item.getparent(CheckModule) is not None
    return checking if is_one else None


def pairs_of(checking: Checking) -> list[Pair]:
    """Every pair of the migration. Raises pytest.UsageError where the configuration is broken."""
    try:
        return checking.pairs
    except ConfigurationError as error:
        raise pytest.UsageError(str(error)) from error


def pair_of(item: pytest.Item) -> Pair | None:
    """The pair that it is run on, if it takes one."""
    callspec = getattr(item, "callspec", None)
    pair = callspec.params.get("pair") if callspec is not None else None
    return pair if isinstance(pair, Pair) else None


def item_check_of(item: pytest.Item) -> ItemCheck | None:
    """What `each_item` has made the check of, if it did."""
    check: ItemCheck | None = getattr(getattr(item, "obj", None), "ddb_item_check", None)
    return check


def mark(item: pytest.Item) -> None:
    """Keep how it counts, if that is not as any check does: see `settings_of`."""
    if (settings := marked(item)) is not _BY_DEFAULT:
        item.stash[_SETTINGS] = settings


def settings_of(item: pytest.Item) -> CheckSettings:
    """How it counts; as any check does, where nothing is said of it."""
    return item.stash.get(_SETTINGS, _BY_DEFAULT)


def marked(item: pytest.Item) -> CheckSettings:
    """What `ddbverify.check`, or the nearest marker of the same meaning, says about a check."""
    decorated = getattr(getattr(item, "obj", None), marks.SETTINGS, None)
    if isinstance(decorated, CheckSettings):
        return decorated
    marker = item.get_closest_marker(MARKER)
    if marker is None:
        return _BY_DEFAULT
    try:
        return marks.settings_of(*marker.args, **marker.kwargs)
    except (MarkError, TypeError) as error:
        raise pytest.UsageError(f"{item.nodeid}: @pytest.mark.{MARKER}: {error}") from error


def blank_record(item: pytest.Item, state: CheckState) -> CheckRecord:
    """The record of a check that has looked at nothing."""
    pair = pair_of(item)
    function = getattr(item, "originalname", None) or item.name
    settings = settings_of(item)
    node_id = item.nodeid
    return CheckRecord(
        id=node_id,
        name=f"{node_id.partition('::')[0]}::{function}",
        pair=pair.id if pair is not None else None,
        state=state,
        severity=settings.severity,
        coverage=settings.coverage,
    )


def place(excinfo: pytest.ExceptionInfo[BaseException], path: Path) -> str:
    """The last line of the user's own file that the error went through, as source text."""
    numbers = [entry.lineno + 1 for entry in excinfo.traceback if Path(entry.path) == path]
    if not numbers:
        return f"outside {path.name}"
    source = linecache.getline(str(path), numbers[-1]).strip()
    return f"at {path.name}:{numbers[-1]}: {source}"
