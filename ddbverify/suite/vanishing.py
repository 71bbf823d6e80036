"""
Checks that somebody wrote and nothing runs, found by reading the files of a suite and what pytest collected.

A check that vanishes is missed by nobody: the run is as green as before. So every function under the folder
that takes a ``pair`` or is an `each_item` has to be collected, or be used by something that is. Pure.
"""

from __future__ import annotations

import ast
import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ddbverify.code.below import links_to_nowhere, python_files
from ddbverify.suite.definitions import Branch, Placed, is_each_item, statements

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Defined = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

_OF_PYTEST: Final = ("pytest_", "ddbverify_")


@dataclass(slots=True)
class Collected:
    """What pytest has collected of a suite."""

    lines: set[tuple[Path, int]] = field(default_factory=set)  # where a function begins that is run
    names: set[tuple[Path, str]] = field(default_factory=set)  # under which name, in which file
    skipped: set[Path] = field(default_factory=set)  # files that skip themselves when they are imported
    broken: set[Path] = field(default_factory=set)  # files that raise when they are imported
    _noted: set[tuple[str, str, str, int]] = field(default_factory=set)
    _resolved: dict[str, Path] = field(default_factory=dict)

    def note(self, file: str, name: str, code_file: str = "", line: int = 0) -> None:
        """
        Note what is run, of one pair; of all further pairs it is known by then, and costs nothing.

        Args:
            file: Of the check, and *name* what it is called there.
            code_file: Where its function stands, and *line* where that begins; nothing if it has no code.
        """
        one = (file, name, code_file, line)
        if one in self._noted:
            return
        self._noted.add(one)
        self.names.add((self._real(file), name))
        if code_file:
            self.lines.add((self._real(code_file), line))

    def _real(self, file: str) -> Path:
        """Where a name leads. To ask the system for each check of each pair costs more than all the rest."""
        if file not in self._resolved:
            self._resolved[file] = Path(file).resolve()
        return self._resolved[file]

    @property
    def files(self) -> set[Path]:
        """Every file of which something is run."""
        return {path for path, _ in self.names}


def vanished(folder: Path, collected: Collected, not_checks: Sequence[str] = ()) -> list[str]:
    """
    Say what of a suite looks like a check and is not run, in words, one for each.

    Args:
        folder: Of the suite, resolved.
        collected: What is run of it, by resolved paths; what was deselected afterwards included.
        not_checks: Patterns of what is none: ``file.py``, ``file.py::name`` or ``name``.
    """
    suite = _Suite(folder, collected)
    return [
        f"{place}{why}"
        for place, why in suite.losses()
        if not any(
            fnmatch.fnmatchcase(one, pattern)
            for pattern in not_checks
            for one in (place, place.partition("::")[0], place.partition("::")[2])
        )
    ]


class _Suite:
    def __init__(self, folder: Path, collected: Collected) -> None:
        self._collected = collected
        self._modules: dict[Path, ast.Module] = {}
        self._broken: list[Path] = []
        self._to_nowhere = [link.relative_to(folder).as_posix() for link in links_to_nowhere(folder)]
        self._places: dict[Path, Path] = {}  # where a link leads -> where it stands
        for place in python_files(folder):
            file = place.resolve()
            if file in self._places:
                continue
            self._places[file] = place.relative_to(folder)
            try:
                self._modules[file] = ast.parse(file.read_bytes())
            except (SyntaxError, ValueError):
                self._broken.append(file)
        self._reached: list[Path] = []
        self._used = self._names_used()

    def losses(self) -> Iterator[tuple[str, str]]:
        """Place -> what is wrong there."""
        for link in self._to_nowhere:
            yield link, " is a link to what is not there, so nobody knows which checks are missing"
        for file in self._broken:
            if file not in self._collected.files:
                yield self._shown(file), " is not valid Python, so nobody knows what it checks"
        for file, module in self._modules.items():
            for node, _ in statements(module):
                if not isinstance(node, _Defined):
                    continue
                for held in self._lost(file, node):
                    name = node.name if held == node.name else f"{node.name}.{held}"
                    yield f"{self._shown(file)}::{name}", self._why(file, module, name)
            yield from self._of_no_text(file, module)
            for first, second, name in _twice(module):
                if _checks_in(first) or self._is_run_by_name(file, name):
                    yield (
                        f"{self._shown(file)}::{name}",
                        f" is defined in line {first.lineno} and again in line {second.lineno}",
                    )

    def _of_no_text(self, file: Path, module: ast.Module) -> Iterator[tuple[str, str]]:
        """
        What would be run by its name, and whose text does not say that it is a check: a factory has made it.

        Of a file that pytest has looked into, what it did not take is none, unless ``__test__`` says so.
        """
        is_of_checks = self._places[file].name.startswith("check_")
        if file in self._collected.files and not (is_of_checks and _mentions_test_mark(module)):
            return
        found = False
        for node, _ in statements(module):
            for name in _bound_by(node):
                if not self._is_run_by_name(file, name) or not _may_be_a_check(
                    node, is_of_checks=is_of_checks
                ):
                    continue
                found = True
                is_told = isinstance(node, _Defined) and self._lost(file, node)
                if not is_told and (file, name) not in self._collected.names:
                    yield f"{self._shown(file)}::{name}", self._why(file, module, name)
        if (
            is_of_checks
            and not found
            and file not in self._collected.files
            and self._may_hold_any(file, module)
        ):
            yield self._shown(file), self._why(file, module, "check_")

    def _may_hold_any(self, file: Path, module: ast.Module) -> bool:
        """Whether a file may get checks in ways that its text does not show."""
        has_star = any(
            isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node, _ in statements(module)
        )
        # What an import brings has a name here; `check_mine.py` as `init` writes it holds nothing else.
        does_nothing = ast.Expr | ast.Pass | ast.Import | ast.ImportFrom
        does_anything = any(not isinstance(node, does_nothing) for node in module.body)
        return has_star or (does_anything and file not in self._reached)

    def _shown(self, file: Path) -> str:
        return self._places[file].as_posix()

    def _lost(self, file: Path, node: _Defined) -> list[str]:
        """The names of what *node* is or holds that would be run and is not; nothing if all is well."""
        held = _checks_in(node)
        if not held:
            return []
        if (file, node.name) in self._collected.names or self._runs_in(file, node):
            inside = [one for one in held if one is not node and not self._runs_in(file, one)]
            return [one.name for one in inside if not self._is_called(file, node, one)]
        first = held[0].name
        must_run = held[0] is node and self._is_run_by_name(file, first)
        return [first] if must_run or node.name not in self._used else []

    def _runs_in(self, file: Path, node: _Defined) -> bool:
        """Whether a function that is run stands within *node*, or is it."""
        first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
        lines = range(first, (node.end_lineno or node.lineno) + 1)
        return any(path == file and line in lines for path, line in self._collected.lines)

    def _is_called(self, file: Path, around: _Defined, function: _Function) -> bool:
        """Whether something makes use of a function inside another, or in a class, that runs in part."""
        is_a_method = isinstance(around, ast.ClassDef) and function in around.body
        return (
            function.name in self._used
            or (function.name.startswith("__") and function.name.endswith("__"))
            or (is_a_method and (file, function.name) in self._collected.names)
        )

    def _is_run_by_name(self, file: Path, name: str) -> bool:
        called = self._places[file].name
        return any(called.startswith(prefix) and name.startswith(prefix) for prefix in ("check_", "test_"))

    def _why(self, file: Path, module: ast.Module, name: str) -> str:
        if file in self._collected.skipped:
            return " is not run: its file skips itself when it is imported"
        if file in self._collected.broken:
            return " is not run: its file raises when it is imported; the output of the run names the line"
        if "." in name or not self._is_run_by_name(file, name):
            return (
                " is not run, and nothing that runs uses it: the checks of a file check_*.py are its "
                "functions check_* (a plugin that collects others has to be in [checks] pytest_plugins)"
            )
        if _mentions_test_mark(module):
            return " is not run: `__test__` is false"
        if file not in self._collected.files:
            return " is not run: the file is left out (collect_ignore, a hook, a folder like build/)"
        return " is not run: pytest has stepped over it"

    def _names_used(self) -> set[str]:
        """Every name that the files which run, and what they import, make use of."""
        waiting = [
            file
            for file in self._modules
            if file in self._collected.files or self._places[file].name == "conftest.py"
        ]
        used: set[str] = set()
        while waiting:
            file = waiting.pop()
            if file in self._reached:
                continue
            self._reached.append(file)
            for name in _imports(self._modules[file]):
                waiting += [one for one in self._modules if self._is_module(one, name)]
            used |= _loads(self._modules[file])
            for node in ast.walk(self._modules[file]):
                if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
                    for one in self._modules:
                        if self._is_module(one, node.module or ""):
                            used |= {
                                node.name
                                for node, _ in statements(self._modules[one])
                                if isinstance(node, _Defined)
                            }
        return used

    def _is_module(self, file: Path, name: str) -> bool:
        """Whether an import of *name* may mean this file."""
        own = self._shown(file).removesuffix(".py").removesuffix("/__init__")
        asked = name.replace(".", "/")
        return bool(asked) and (own == asked or own.endswith("/" + asked) or asked.endswith("/" + own))


def _checks_in(node: ast.AST) -> list[_Function]:
    """The functions that take a pair or items: it itself, methods, and those inside it."""
    if not isinstance(node, _Defined) or _is_of_pytest(node):
        return []
    inside = [one for one in ast.walk(node) if isinstance(one, _Function) and one is not node]
    every = [node, *inside] if isinstance(node, _Function) else inside
    return [one for one in every if _takes_a_pair(one) and not _is_of_pytest(one)]


def _takes_a_pair(function: _Function) -> bool:
    arguments = function.args
    names = {one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    return "pair" in names or any(map(is_each_item, function.decorator_list))


def _is_of_pytest(node: _Defined) -> bool:
    """Whether it is a fixture or a hook: pytest calls these."""
    decorators = [one.func if isinstance(one, ast.Call) else one for one in node.decorator_list]
    is_fixture = any(ast.unparse(one).rpartition(".")[2] == "fixture" for one in decorators)
    return is_fixture or node.name.startswith(_OF_PYTEST)


def _mentions_test_mark(module: ast.Module) -> bool:
    return any(
        (node.attr if isinstance(node, ast.Attribute) else node.id) == "__test__"
        for node in ast.walk(module)
        if isinstance(node, ast.Attribute | ast.Name)
    )


def _may_be_a_check(node: ast.stmt, *, is_of_checks: bool) -> bool:
    """Whether what *node* gives a name, one that is run, may be a check: made by something, or brought."""
    match node:
        case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
            return not _is_written_out(value)
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return is_of_checks and not _is_of_pytest(node)
    return is_of_checks and isinstance(node, ast.ImportFrom)


def _is_written_out(value: ast.expr) -> bool:
    try:
        ast.literal_eval(value)
    except (ValueError, TypeError):
        return isinstance(value, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp | ast.JoinedStr)
    return True


def _imports(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module or ''}.{alias.name}".lstrip(".") for alias in node.names)


def _loads(module: ast.Module) -> set[str]:
    """Names that a module uses; a function that names itself, or is only marked, is not used by that."""
    marked = {
        id(target.value)
        for node in ast.walk(module)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Attribute)
    }
    used: set[str] = set()

    def visit(node: ast.AST, within: frozenset[str]) -> None:
        for child in ast.iter_child_nodes(node):
            match child:
                case ast.Name(id=name, ctx=ast.Load()) if id(child) not in marked:
                    used.update({name} - within)
                case ast.Attribute(attr=name, ctx=ast.Load()):
                    used.update({name} - within)
                case ast.alias(name=name):
                    used.add(name.rpartition(".")[2])
            inner = within | {child.name} if isinstance(child, _Defined) else within
            visit(child, inner)

    visit(module, frozenset())
    return used


def _twice(module: ast.Module) -> Iterator[tuple[ast.stmt, ast.stmt, str]]:
    """What may be a check and whose name gets another value later in the same block, classes' bodies too."""
    blocks = [module, *(node for node in ast.walk(module) if isinstance(node, ast.ClassDef))]
    for block in blocks:
        bound: dict[str, list[Placed]] = {}
        for node, branches in statements(block):
            for name in _bound_by(node):
                for first, others in bound.get(name, ()):
                    is_again = isinstance(first, ast.ImportFrom) and isinstance(node, ast.ImportFrom)
                    may_be = isinstance(first, _Defined) or _may_be_a_check(first, is_of_checks=True)
                    if may_be and not is_again and not _either_or(branches, others):
                        yield first, node, name
                bound.setdefault(name, []).append((node, branches))


def _either_or(one: tuple[Branch, ...], other: tuple[Branch, ...]) -> bool:
    """Whether two statements stand in different branches of one statement."""
    theirs: Mapping[int, int] = dict(other)
    return any(theirs.get(statement, branch) != branch for statement, branch in one)


def _bound_by(node: ast.stmt) -> list[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            decorators = {ast.unparse(one).rpartition(".")[2] for one in getattr(node, "decorator_list", ())}
            return [] if "overload" in decorators else [name]
        case ast.Assign(targets=targets, value=value):
            return _names_given(targets, value)
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            return _names_given([target], value)
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return [alias.asname or alias.name.partition(".")[0] for alias in names]
    return []


def _names_given(targets: Sequence[ast.expr], value: ast.expr) -> list[str]:
    """Names that get a new value; one that is made of what it was before is not lost."""
    read = {one.id for one in ast.walk(value) if isinstance(one, ast.Name)}
    names = [one for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)]
    return [one.id for one in names if isinstance(one.ctx, ast.Store) and one.id not in read]
