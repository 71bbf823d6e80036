"""
Whether a check has come to a statement that could have failed it: one that claimed nothing proves nothing.

Its own code, and the project's that it calls, is followed line by line until the first such statement. Which
lines they are is read from the source. The shared pass is not followed: it is long, and none of the user's.
"""

from __future__ import annotations

import ast
import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

import ddbverify

_NO_FACTS: Final = (
    "id",
    "settings",
    "config",
    "is_reshaped",
    "is_sampled",
    "compared",
    "was_refused",
    "by_key",
    "read_whole",
)
"""Attributes of a pair that say what is configured, or whether something was read; nothing of the tables."""

_FAILING: Final = ("fail", "require")
_ASSERTING: Final = ("assert", "expect")
"""How the names of functions begin that fail a check when what they are given is not so."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Place = tuple[str, int]  # name and first line of a function, as its code object has them


class Following:
    """What a check has come to so far."""

    def __init__(self, file: Path) -> None:
        """*file*: of the check; followed even where it lies among installed packages."""
        self.claimed = False
        self._file = str(file)

    def calls(self, frame: FrameType, event: str, _: Any) -> Any:
        """For `sys.settrace`."""
        if self.claimed or event != "call" or not self._is_followed(frame.f_code.co_filename):
            return None
        lines = claiming_lines(frame.f_code)
        return self._lines(lines) if lines else None

    def _lines(self, claiming: frozenset[int]) -> Any:
        def line(frame: FrameType, event: str, _: Any) -> Any:
            if event == "line" and frame.f_lineno in claiming:
                self.claimed = True
            if self.claimed:
                sys.settrace(None)
                return None
            return line

        return line

    def _is_followed(self, file: str) -> bool:
        return file == self._file or is_of_the_project(file)


@contextmanager
def following(file: Path, *, alone: bool) -> Iterator[Following]:
    """
    Follow what a check does inside the block.

    Args:
        file: Of the check.
        alone: Take the place of another tracer. Otherwise a debugger keeps its place, and the check counts as
            one that has claimed something.
    """
    followed = Following(file)
    before, of_threads = sys.gettrace(), threading.gettrace()
    if before is not None and not alone:
        followed.claimed = True
        yield followed
        return
    sys.settrace(followed.calls)
    threading.settrace(followed.calls)
    try:
        yield followed
    finally:
        sys.settrace(before)
        threading.settrace(of_threads)


@contextmanager
def not_followed() -> Iterator[None]:
    """Do something long that is none of the user's; a debugger's tracer stays."""
    tracer, of_threads = sys.gettrace(), threading.gettrace()
    if not isinstance(getattr(tracer, "__self__", None), Following):
        yield
        return
    sys.settrace(None)
    threading.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)
        threading.settrace(of_threads)


@cache
def is_of_the_project(file: str) -> bool:
    """Whether a source file is neither Python's, nor an installed package's, nor ours."""
    path = Path(file)
    others = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    others += [str(Path(str(ddbverify.__file__)).parent)]
    return path.is_file() and not any(path.is_relative_to(other) for other in others)


def claiming_lines(code: CodeType) -> frozenset[int]:
    """The lines of a function on which it comes to a statement that could fail the check."""
    return _claims_of(code.co_filename).get((code.co_name, code.co_firstlineno), frozenset())


@cache
def _claims_of(file: str) -> dict[_Place, frozenset[int]]:
    try:
        module = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return {}  # nothing of it is known to claim anything
    return claims_in(module)


def claims_in(module: ast.Module) -> dict[_Place, frozenset[int]]:
    """Of every function of a module: the lines on which it could fail the check, if there are any."""
    found: dict[_Place, frozenset[int]] = {}

    def visit(node: ast.AST, outer: frozenset[str]) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, _Function):
                scope = _Scope(child, outer)
                found[child.name, _first_line(child)] = frozenset(scope.claiming_lines())
                visit(child, scope.known | scope.pairs)
            else:
                visit(child, outer)

    visit(module, frozenset())
    return {place: lines for place, lines in found.items() if lines}


def _first_line(function: _Function) -> int:
    return min([function.lineno, *(one.lineno for one in function.decorator_list)])


class _Scope:
    """One function, and which of its names hold something of the pair."""

    def __init__(self, function: _Function, outer: frozenset[str]) -> None:
        arguments = function.args
        given = {
            one.arg
            for one in (
                *arguments.posonlyargs,
                *arguments.args,
                *arguments.kwonlyargs,
                *(one for one in (arguments.vararg, arguments.kwarg) if one),
            )
        }
        self._statements = list(_of_this_function(function))
        self.pairs = frozenset({"pair"} & (given | outer))
        self.known = frozenset((given | outer) - {"pair"})
        while (more := self._taken_on()) != (self.known, self.pairs):
            self.known, self.pairs = more

    def claiming_lines(self) -> Iterator[int]:
        for node in self._statements:
            match node:
                case ast.Assert(test=test) if self._reads(test):
                    yield from range(node.lineno, (node.end_lineno or node.lineno) + 1)
                case ast.If(test=test) if self._reads(test) and _ends_it(node):
                    yield from range(node.lineno, (test.end_lineno or node.lineno) + 1)
                case ast.For(iter=iterated) | ast.AsyncFor(iter=iterated):
                    if self._reads(iterated) and _can_fail(node):
                        yield from range(node.lineno, (iterated.end_lineno or node.lineno) + 1)
                case ast.While(test=test) if self._reads(test) and _can_fail(node):
                    yield from range(node.lineno, (test.end_lineno or node.lineno) + 1)
                case ast.Match(subject=subject) if self._reads(subject) and _ends_it(node):
                    yield from range(node.lineno, (subject.end_lineno or node.lineno) + 1)
                case ast.Expr(value=value) if self._reads(value) and _calls(value, (*_ASSERTING, *_FAILING)):
                    yield from range(node.lineno, (node.end_lineno or node.lineno) + 1)

    def _taken_on(self) -> tuple[frozenset[str], frozenset[str]]:
        """The names that hold something of the pair, and those of the pair itself, after one more look."""
        known, pairs = set(self.known), set(self.pairs)
        for node in self._statements:
            match node:
                case ast.Assign(targets=targets, value=value):
                    (pairs if self._is_a_pair(value) else known).update(
                        _names(targets) if self._is_a_pair(value) or self._reads(value) else ()
                    )
                case (
                    ast.AnnAssign(target=target, value=ast.expr() as value)
                    | ast.NamedExpr(target=target, value=value)
                    | ast.AugAssign(target=target, value=value)
                ):
                    known.update(_names([target]) if self._reads(value) else ())
                case ast.For(target=target, iter=value) | ast.AsyncFor(target=target, iter=value):
                    known.update({*_names([target]), *_set_in(node)} if self._reads(value) else ())
                case ast.If(test=value) | ast.While(test=value):  # a counter of what was met, say
                    known.update(_set_in(node) if self._reads(value) else ())
                case ast.comprehension(target=target, iter=value):
                    known.update(_names([target]) if self._reads(value) else ())
                case ast.withitem(context_expr=value, optional_vars=ast.expr() as target):
                    known.update(_names([target]) if self._reads(value) else ())
                case ast.Call(func=ast.Attribute(value=ast.Name(id=name)), args=arguments):
                    # `rows.append(pair.source)`; what a method of a module does is of no interest.
                    known.update({name} if any(map(self._reads, arguments)) else ())
        return frozenset(known - pairs), frozenset(pairs)

    def _is_a_pair(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id in self.pairs

    def _reads(self, node: ast.AST) -> bool:
        """Whether an expression depends on a fact of the tables."""
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name in self.pairs:
                return attribute not in _NO_FACTS
            case ast.Call(args=arguments, keywords=keywords):
                given = [*arguments, *(one.value for one in keywords)]
                if any(map(self._is_a_pair, given)):
                    return True
            case ast.Name(id=name):
                return name in self.known
        return any(map(self._reads, ast.iter_child_nodes(node)))


def _of_this_function(function: ast.AST) -> Iterator[ast.AST]:
    """Every node of its body, apart from the functions and classes inside it."""
    for node in ast.iter_child_nodes(function):
        if not isinstance(node, _Function | ast.ClassDef):
            yield node
            yield from _of_this_function(node)


def _names(targets: list[ast.expr]) -> set[str]:
    """Every name that an assignment gives a new value, or puts one into."""
    return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}


def _set_in(block: ast.AST) -> set[str]:
    """Every name that is given another value somewhere in a block."""
    return {
        one.id
        for one in _of_this_function(block)
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
    }


def _ends_it(node: ast.AST) -> bool:
    """Whether a branch of it raises, or calls what does."""
    return any(
        isinstance(one, ast.Raise) or (isinstance(one, ast.Call) and _calls(one, ("fail",)))
        for one in _of_this_function(node)
    )


def _can_fail(node: ast.AST) -> bool:
    """Whether anything in it can fail a check."""
    return any(
        isinstance(one, ast.Raise | ast.Assert)
        or (isinstance(one, ast.Call) and _calls(one, (*_ASSERTING, *_FAILING)))
        for one in _of_this_function(node)
    )


def _calls(node: ast.expr, beginnings: tuple[str, ...]) -> bool:
    """Whether an expression calls a function whose name begins like one of these."""
    called = [one.func for one in ast.walk(node) if isinstance(one, ast.Call)]
    names = [
        one.attr if isinstance(one, ast.Attribute) else one.id if isinstance(one, ast.Name) else ""
        for one in called
    ]
    return any(name.lower().startswith(beginnings) for name in names)
