"""Which checks a suite defines, found by reading its files: nothing of it is imported or run."""

from __future__ import annotations

import ast
import fnmatch
from collections.abc import Iterator
from pathlib import Path

from ddbverify.errors import ConfigurationError
from ddbverify.plugins.loading import Plugins


def check_functions(folder: Path) -> dict[str, bool]:
    """
    Every check that a folder defines, found without running anything of it.

    Returns:
        ``file.py::function`` -> whether it takes a ``pair``.

    Raises:
        ConfigurationError: A file is not Python.
    """
    files = sorted((*folder.rglob("check_*.py"), *folder.rglob("test_*.py")))
    return {
        f"{file.relative_to(folder).as_posix()}::{name}": of_a_pair
        for file in files
        for name, of_a_pair in _functions_in(file)
    }


def defined_checks(folder: Path, plugins: Plugins) -> dict[str, bool]:
    """Every check that has to be there: those of the folder, and those that plugins bring, likewise."""
    brought = {
        f"{plugin}:{file.name}::{name}": of_a_pair
        for plugin, files in plugins.check_files.items()
        for file in files
        for name, of_a_pair in _functions_in(file)
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


def _functions_in(file: Path) -> Iterator[tuple[str, bool]]:
    try:
        module = ast.parse(file.read_bytes(), filename=str(file))
    except (SyntaxError, ValueError) as error:
        raise ConfigurationError(
            f"The check file {file} is not valid Python.", "mend it, then run the checks again."
        ) from error
    for node in _statements(module):
        if isinstance(node, ast.FunctionDef) and node.name.startswith(file.name.partition("_")[0] + "_"):
            takes = {argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)}
            yield node.name, "pair" in takes or any(map(is_each_item, node.decorator_list))


def _statements(block: ast.AST) -> Iterator[ast.AST]:
    """Also those inside `if`, `try`, `for` and `with`: a check may not hide behind a condition."""
    for node in ast.iter_child_nodes(block):
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield from _statements(node)


def is_each_item(decorator: ast.expr) -> bool:
    """Whether a decorator, as it is written, is `each_item`."""
    decorator = decorator.func if isinstance(decorator, ast.Call) else decorator
    return ast.unparse(decorator).rpartition(".")[2] == "each_item"
