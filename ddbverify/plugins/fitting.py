"""What of a plugin implements a hook, and whether it fits the hook's specification. Pure."""

from __future__ import annotations

import difflib
import inspect
from types import FunctionType
from typing import Any, Final

from ddbverify.errors import ConfigurationError
from ddbverify.plugins import hookspecs
from ddbverify.plugins.hookspecs import PROJECT
from ddbverify.words import page

PREFIX: Final = "ddbverify_"
HOOKS: Final = {name: spec for name, spec in vars(hookspecs).items() if name.startswith(PREFIX)}


_MARK = f"{PROJECT}_impl"
_NOT_PLAIN = (
    inspect.Parameter.VAR_POSITIONAL,
    inspect.Parameter.VAR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
)


def wants_hooks(plugin: object) -> bool:
    """Whether anything in a module is, or is meant to be, an implementation of a hook of ours."""
    return bool(implemented(plugin))


def implemented(plugin: object) -> dict[str, Any]:
    """Hook (or what is meant for one) -> the plugin's function for it."""
    found = {}
    for name in dir(plugin):
        static = inspect.getattr_static(plugin, name, None)
        # Of functions only: `pytest.mark` has whatever attribute one asks for.
        marked = isinstance(static, FunctionType | staticmethod | classmethod) and hasattr(static, _MARK)
        if name.startswith(PREFIX) or marked:
            function = getattr(plugin, name)
            if callable(function):
                found[(getattr(function, _MARK, None) or {}).get("specname") or name] = function
    return found


def hold_against_its_spec(plugin: str, name: str, function: Any) -> None:
    """Raises ConfigurationError, one line with both signatures, where *function* is not fit for the hook."""
    shown = f"{name}{_signature(function)}"
    spec = HOOKS.get(name)
    if spec is None:
        (close,) = difflib.get_close_matches(name, HOOKS, n=1, cutoff=0.0)
        raise _misfit(plugin, f"{shown} is no hook", close)
    options = getattr(function, _MARK, None) or {}
    if options.get("wrapper") or options.get("hookwrapper"):
        # It could change what others answer, and take back a veto.
        raise _misfit(plugin, f"{shown} is a wrapper, and these hooks have none", name)
    if not inspect.isroutine(function):
        raise _misfit(plugin, f"{shown} is no function", name)
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise _misfit(plugin, f"{shown} is asynchronous, and nobody would wait for it", name)
    for argument in inspect.signature(function).parameters.values():
        if argument.kind in _NOT_PLAIN or argument.default is not inspect.Parameter.empty:
            raise _misfit(plugin, f"{shown} has {argument}, and only plain arguments are given", name)
        if argument.name not in inspect.signature(spec).parameters:
            raise _misfit(plugin, f"{shown} asks for {argument.name}, which nobody gives", name)


def _signature(function: Any) -> str:
    try:
        return f"({', '.join(inspect.signature(function).parameters)})"
    except (TypeError, ValueError):
        return "(...)"


def _misfit(plugin: str, what: str, hook: str) -> ConfigurationError:
    return ConfigurationError(
        f"The plugin {plugin}: {what}; the hook is {hook}{_signature(HOOKS[hook])}.",
        f"fix the plugin; the hooks are in {page('plugins.md')}.",
    )
