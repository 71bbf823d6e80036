"""The digest of a transform or an inverse: of its module, what that imports, and the files its pair names."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from ddbverify.code import reach
from ddbverify.code.reach import Files
from ddbverify.config import Config, Pair
from ddbverify.errors import ConfigurationError
from ddbverify.items.transform import contents_digest

IGNORED_FILES = ("__pycache__", ".pyc", ".pyo")


def transform_digest(config: Config, pair: Pair) -> str:
    """
    SHA-256 of everything that a pair's transform is made of; empty without one.

    Another digest is another transform. A module that the transform does not import changes nothing.

    Raises:
        ConfigurationError: As `transform_files`; or a file cannot be read.
    """
    return digest_of(transform_files(config, pair.transform)) if pair.transform else ""


def functions_of(config: Config) -> list[str]:
    """Every transform and every inverse of a migration, ``module:function``."""
    return sorted({name for pair in config.tables for name in (pair.transform, pair.inverse) if name})


def transforms_of(config: Config) -> dict[str, Files]:
    """Every transform and every inverse of a migration with its files; as `transform_files`."""
    return {name: transform_files(config, name) for name in functions_of(config)}


def transform_files(config: Config, name: str) -> Files:
    """
    The files of the transform or inverse ``module:function``, by their place in the bundle.

    What ``transform_files`` of any pair with this function names is among them.

    Raises:
        ConfigurationError: There is no such module, or no such file.
    """
    module = name.partition(":")[0]
    found = dict(reach.of_module(module, config.folder))
    if not found:
        raise _not_there(name, module)
    for pair in config.tables:
        if name in (pair.transform, pair.inverse):
            for file in listed(pair.transform_files, config.folder, f"transform_files of {pair}"):
                found[_place(file, found, config.folder)] = file
    return found


def listed(patterns: Sequence[str], folder: Path, setting: str) -> list[Path]:
    """
    The files that a setting names: paths from *folder*, with ``*`` where wanted; of a folder all files below.

    Raises:
        ConfigurationError: One names nothing.
    """
    found: set[Path] = set()
    for pattern in patterns:
        try:
            named = list(folder.glob(pattern))
        except (ValueError, NotImplementedError):  # empty, or from the root of the disk
            named = []
        files = {
            file
            for one in named
            for file in (one.rglob("*") if one.is_dir() else (one,))
            if file.is_file() and not any(part in IGNORED_FILES for part in (*file.parts, file.suffix))
        }
        if not files:
            raise ConfigurationError(
                f"{setting}: there is no file {pattern!r}.",
                "write the path as it is from the folder of migration.toml, or take it off the list.",
            )
        found |= files
    return sorted(found)


def package_files(name: str) -> dict[str, Path]:
    """
    All files of the top-level package of ``module:function``, or the one file of a plain module.

    Raises:
        ConfigurationError: It is not there as plain files.
    """
    top = name.partition(":")[0].partition(".")[0]
    spec = importlib.util.find_spec(top)
    if spec is None:
        raise _not_there(name, top)
    if spec.submodule_search_locations:
        root = Path(next(iter(spec.submodule_search_locations)))
        files = (path for path in sorted(root.rglob("*")) if path.is_file())
        return {
            f"{top}/{path.relative_to(root).as_posix()}": path
            for path in files
            if not any(part in IGNORED_FILES for part in (*path.parts, path.suffix))
        }
    if spec.origin is None or not Path(spec.origin).is_file():
        raise _not_there(name, top)
    return {Path(spec.origin).name: Path(spec.origin)}


def _not_there(name: str, module: str) -> ConfigurationError:
    return ConfigurationError(
        f"The transform {name} does not load: there is no module {module}.",
        "run in the folder that holds its package, or install the package beside ddbverify, as plain files.",
    )


def _place(file: Path, modules: Files, folder: Path) -> str:
    """Where a file lies in the bundle: beside the modules that it lies beside here."""
    roots = {path.parents[len(Path(place).parts) - 1] for place, path in modules.items()}
    above = [root for root in roots if file.is_relative_to(root)]
    return file.relative_to(max(above, key=lambda root: len(root.parts), default=folder)).as_posix()


def digest_of(files: Files) -> str:
    """
    SHA-256 over places and contents.

    Raises:
        ConfigurationError: A file cannot be read.
    """
    try:
        return contents_digest({place: file.read_bytes() for place, file in files.items()})
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename} cannot be read: {error.strerror}.",
            "make it readable, or remove it: evidence has to be bound to every file there.",
        ) from error
