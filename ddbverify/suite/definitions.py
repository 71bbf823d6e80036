"""Which checks a suite defines, found by reading its files: nothing of it is imported or run."""

from __future__ import annotations

import ast
import fnmatch
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ddbverify.code.below import python_files
from ddbverify.config import Config
from ddbverify.errors import ConfigurationError
from ddbverify.plugins.loading import Plugins
from ddbverify.suite.marks import is_bound, of_no_pair

_MARKS: Final = ("check", "each_item", "ddb_check")

Branch = tuple[int, int]
"""Which statement, and which of its branches."""

Placed = tuple[ast.stmt, tuple[Branch, ...]]
"""A statement, and the branches in which it stands."""


@dataclass(frozen=True, slots=True)
class Definition:
    """What a check is about, as far as its text says."""

    of_a_pair: bool  # it takes a pair, or items of one
    tables: tuple[str, ...] = ()  # names of source tables; none: every pair

    def pairs(self, config: Config) -> list[str]:
        """Ids of the pairs that it has to be run on."""
        about = [pair.id for pair in config.tables if is_bound(self.tables, pair.source)]
        return about if self.of_a_pair else []

    def unknown(self, config: Config) -> list[str]:
        """Tables that it names and that are the source of no pair."""
        return of_no_pair(self.tables, (pair.source for pair in config.tables))


def check_functions(folder: Path) -> dict[str, Definition]:
    """
    Every check that a folder defines, found without running anything of it.

    Returns:
        ``file.py::function`` -> what it is about.

    Raises:
        ConfigurationError: A file is not Python, or the tables of a check are not written out.
    """
    files = [file for file in python_files(folder) if file.name.startswith(("check_", "test_"))]
    return {
        f"{file.relative_to(folder).as_posix()}::{name}": definition
        for file in files
        for name, definition in _functions_in(file)
    }


def defined_checks(folder: Path, plugins: Plugins) -> dict[str, Definition]:
    """Every check that has to be there: those of the folder, and those that plugins bring, likewise."""
    brought = {
        f"{plugin}:{file.name}::{name}": definition
        for plugin, files in plugins.check_files.items()
        for file in files
        for name, definition in _functions_in(file)
    }
    return check_functions(folder) | brought


def is_brought(name: str) -> bool:
    """Whether a plugin brings the check of this name."""
    return ":" in name.partition("::")[0]


def means(pattern: str, name: str) -> bool:
    """
    Whether a pattern of ``[gate] required`` means the check of this name, as ``file.py::function``.

    A check that a plugin brings is meant by its full name only: it must not stand in for the user's.
    """
    if fnmatch.fnmatchcase(name, pattern):
        return True
    return not is_brought(name) and fnmatch.fnmatchcase(name.partition("::")[2], pattern)


def _functions_in(file: Path) -> Iterator[tuple[str, Definition]]:
    try:
        module = ast.parse(file.read_bytes(), filename=str(file))
    except (SyntaxError, ValueError) as error:
        raise ConfigurationError(
            f"The check file {file} is not valid Python.", "mend it, then run the checks again."
        ) from error
    of_the_file = next(_tables_in(file, _marks_of(module)), ())
    for node, _ in statements(module):
        if isinstance(node, ast.FunctionDef) and node.name.startswith(file.name.partition("_")[0] + "_"):
            takes = {argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)}
            own = next(_tables_in(file, node.decorator_list), () if _is_marked(node) else of_the_file)
            of_a_pair = "pair" in takes or any(map(is_each_item, node.decorator_list))
            yield node.name, Definition(of_a_pair, own)


def _marks_of(module: ast.Module) -> list[ast.expr]:
    """What ``pytestmark`` of a file holds."""
    values = [
        node.value
        for node in module.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
    ]
    return [
        one
        for value in values
        for one in (value.elts if isinstance(value, ast.List | ast.Tuple) else [value])
    ]


def _is_marked(function: ast.FunctionDef) -> bool:
    """Whether a function has a mark of its own: then that of the file does not count."""
    return any(_mark_of(one) in ("check", "ddb_check") for one in function.decorator_list)


def _mark_of(decorator: ast.expr) -> str:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return ast.unparse(called).rpartition(".")[2]


def _tables_in(file: Path, marks: Sequence[ast.expr]) -> Iterator[tuple[str, ...]]:
    for mark in marks:
        for keyword in mark.keywords if isinstance(mark, ast.Call) and _mark_of(mark) in _MARKS else ():
            if keyword.arg != "tables":
                continue
            try:
                names = ast.literal_eval(keyword.value)
            except ValueError:
                raise ConfigurationError(
                    f"{file.name}, line {mark.lineno}: the tables of a check are not written out.",
                    'name source tables there, as in tables=["orders"]: a gate reads them without running '
                    "the file.",
                ) from None
            yield (names,) if isinstance(names, str) else tuple(names)


def statements(block: ast.AST) -> Iterator[Placed]:
    """
    Every statement of a block, with the branches in which it stands: a check may hide behind a condition.

    What a function or a class in the block holds is theirs.
    """

    def visit(nodes: Iterable[ast.AST], branches: tuple[Branch, ...]) -> Iterator[Placed]:
        for node in nodes:
            if isinstance(node, ast.stmt):
                yield node, branches
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                for number, inner in enumerate(_branches(node)):
                    yield from visit(inner, (*branches, (id(node), number)))

    yield from visit(ast.iter_child_nodes(block), ())


def _branches(node: ast.AST) -> list[Sequence[ast.AST]]:
    """The statements inside one, those together that may all be run."""
    match node:
        case ast.If(body=body, orelse=orelse):
            return [body, orelse]
        case (
            ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=final)
            | ast.TryStar(body=body, handlers=handlers, orelse=orelse, finalbody=final)
        ):
            return [[*body, *orelse, *final], *(one.body for one in handlers)]
        case ast.Match(cases=cases):
            return [one.body for one in cases]
    inner = [one for one in ast.iter_child_nodes(node) if isinstance(one, ast.stmt)]
    return [inner] if inner else []


def is_each_item(decorator: ast.expr) -> bool:
    """Whether a decorator, as it is written, is `each_item`."""
    decorator = decorator.func if isinstance(decorator, ast.Call) else decorator
    return ast.unparse(decorator).rpartition(".")[2] == "each_item"
