"""How it is told that a gated session broke off: by what and where, not in the words of the user's code."""

from __future__ import annotations

from types import MethodType
from typing import Any

import pytest

from ddbverify.compare.inspection import kind_of
from ddbverify.session.pytest.stand_ins import HIDDEN


@pytest.hookimpl(tryfirst=True)
def pytest_internalerror(excrepr: Any, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    """A hook of a ``conftest.py`` has raised, say: every plugin that shows *excrepr* shows this."""
    entry = excinfo.traceback[-1]
    said = f"{kind_of(excinfo.type)} at {entry.path}:{entry.lineno + 1} {HIDDEN}"
    excrepr.toterminal = MethodType(lambda _, terminal: terminal.line(said), excrepr)


@pytest.hookimpl(tryfirst=True)
def pytest_keyboard_interrupt(excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    """``pytest.exit`` has a text, and an interruption may have one."""
    error: Any = excinfo.value
    error.args = ()
    if isinstance(error, pytest.exit.Exception):
        error.msg = HIDDEN
