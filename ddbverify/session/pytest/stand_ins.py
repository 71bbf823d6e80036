"""
Exceptions without a text: what pytest and other plugins get to see of those that the user's code raised.

The text of an exception, and what hangs on it, may hold values. A stand-in has the type of the original, so
that whoever asks for a type finds it, and its traceback, which shows lines of source.
"""

from __future__ import annotations

from typing import Any

import pytest

from ddbverify.errors import DdbVerifyError

HIDDEN = "(its text is not shown: it may hold values)"

_OUTCOMES = (pytest.skip.Exception, pytest.fail.Exception, pytest.xfail.Exception, pytest.exit.Exception)

_OF_AN_OUTCOME = ("pytrace", "allow_module_level", "_use_item_location", "returncode")
"""What pytest reads of an outcome, its text apart."""


def stand_in(error: BaseException) -> BaseException:
    """*error*, if it can be shown as it is (our own words), or else one of its type that says nothing."""
    if isinstance(error, DdbVerifyError) or getattr(error, "ddb_stands_in", False):
        return error
    made = _made(error)
    made.__traceback__ = error.__traceback__
    return made


def _made(error: BaseException) -> BaseException:
    if isinstance(error, _OUTCOMES):
        return _outcome(error)
    if isinstance(error, BaseExceptionGroup):
        return BaseExceptionGroup(HIDDEN, [stand_in(one) for one in error.exceptions])
    kind = type(error)
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "ddb_stands_in": True}
    silent: dict[str, Any] = {"__str__": lambda _: HIDDEN, "__repr__": lambda _: f"{kind.__name__}()"}
    try:
        built_in: Any = next(one for one in kind.__mro__ if one.__module__ == "builtins")
        made: BaseException = built_in.__new__(type(kind.__name__, (kind,), names | silent))
    except TypeError:  # a type that nobody may derive from
        return Exception(f"{kind.__name__} {HIDDEN}")
    return made


def _outcome(error: BaseException) -> BaseException:
    made: Any = type(error).__new__(type(error))
    made.__dict__.update({name: value for name, value in vars(error).items() if name in _OF_AN_OUTCOME})
    made.msg, made.args, made.ddb_stands_in = HIDDEN, (HIDDEN,), True
    return made  # type: ignore[no-any-return]


def of_a_conftest(error: BaseException) -> None:
    """Take the text out of pytest's error about a ``conftest.py`` that cannot be imported."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, BaseException):
        error.cause = stand_in(cause)  # type: ignore[attr-defined]  # as was just seen
