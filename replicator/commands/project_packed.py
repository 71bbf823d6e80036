"""
The user's project as a zip: exactly what a run is bound to, and what installs the programs that it needs.

Nothing is taken because it lies in the folder: so neither a key nor a finding can travel by accident.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ddbverify.code.digest import listed, transforms_of
from ddbverify.code.places import is_environment
from ddbverify.config import FILE_NAME, Config
from ddbverify.errors import ConfigurationError
from ddbverify.evidence import digests, folders

REQUIREMENTS: Final = "requirements.txt"

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold
_FILE_MODE: Final = 0o100644 << 16
_WITH_A_SECRET: Final = re.compile(r"://[^/\s@]+@")
_NAMES_A_FILE: Final = re.compile(r"(?:-r|-c|--requirement|--constraint)?[\s=]*([^\s;#]+)")


@dataclass(frozen=True, slots=True)
class Project:
    """
    A project, packed.

    Args:
        key: Where it lies in the migration's bucket; it holds the content's digest.
        content: The zip; the same bytes from the same files.
        files: Names in it.
    """

    key: str
    content: bytes = field(repr=False)
    files: tuple[str, ...]


def pack(config: Config, config_path: Path) -> Project:
    """
    Pack settings, checks, transforms, and what ``requirements.txt`` names beside it.

    Raises:
        ConfigurationError: There is no ``requirements.txt``, it names no ddbverify, or a secret; or the run
            needs a file that lies neither below the folder nor in the environment.
    """
    home = config.folder.resolve()
    found: dict[str, Path] = {FILE_NAME: config_path}
    for file in (*_requirements(home), *_bound(config)):
        place = _place(file, home)
        if place is not None:
            found[place] = file
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, file in sorted(found.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type, entry.create_system = zipfile.ZIP_DEFLATED, 3
            entry.external_attr = _FILE_MODE
            archive.writestr(entry, _content(file))
    content = buffer.getvalue()
    return Project(
        f"bundles/project-{hashlib.sha256(content).hexdigest()}.zip", content, tuple(sorted(found))
    )


def _bound(config: Config) -> Iterator[Path]:
    """What the evidence of a run is bound to; of the default suite nothing, which comes with us."""
    for files in transforms_of(config).values():
        yield from files.values()
    checks = folders.checks_folder(config)
    if checks == folders.default_suite():  # it is installed with us; what the settings name for it is not
        yield from listed(config.checks.files, config.folder, "[checks] files")
    else:
        yield from digests.files_of_checks(config, checks).values()


def _place(file: Path, home: Path) -> str | None:
    """Its place in the project; ``None`` for what is installed."""
    below = file if file.is_relative_to(home) else file.resolve()
    if below.is_relative_to(home):
        return below.relative_to(home).as_posix()
    if is_environment(str(file)):
        return None
    raise ConfigurationError(
        f"{file} takes part in a run, and lies beside the folder of {FILE_NAME}.",
        f"put it into that folder, or install it and name it in {REQUIREMENTS}.",
    )


def _requirements(home: Path) -> set[Path]:
    """``requirements.txt`` and the files that it names: others like it, and wheels."""
    first = home / REQUIREMENTS
    if not first.is_file():
        raise ConfigurationError(
            f"A build installs from {REQUIREMENTS}, and there is none in {home}.",
            "write it: exact versions, and the path or URL of ddbverify's wheel.",
        )
    found, left = set[Path](), [first]
    text = ""
    while left:
        file = left.pop()
        if file in found:
            continue
        found.add(file)
        if file.suffix == ".whl":
            continue
        lines = _content(file).decode("utf-8", "replace")
        text += lines
        for line in lines.splitlines():
            named = _NAMES_A_FILE.match(line.strip())
            if named and (beside := (file.parent / named[1].partition("[")[0]).resolve()).is_file():
                left.append(beside)
    if _WITH_A_SECRET.search(text):
        raise ConfigurationError(
            f"{REQUIREMENTS} has a user or a password in an address, and would lie in a bucket.",
            "name the file of a wheel beside it, or an index that asks for none.",
        )
    if not re.search(r"^[^#\n]*\bddbverify\b", text, re.MULTILINE):
        raise ConfigurationError(
            f"{REQUIREMENTS} does not name ddbverify, so a build could not run it.",
            "name the path or URL of its wheel, the one that is installed here.",
        )
    return found


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{file} cannot be read: {error.strerror}.", "let yourself read it."
        ) from error
