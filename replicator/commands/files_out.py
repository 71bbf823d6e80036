"""Files that a command writes again and again into one folder, and never over anybody else's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ddbverify.errors import ConfigurationError

NOTE: Final = ".replicator-synth.json"
"""Name of the file that says which files are ours: of which form, and name -> SHA-256 of what was written."""


def write(folder: Path, files: Mapping[str, str], *, form: str) -> None:
    """
    Write *files* into *folder*, and remove those of the time before that are none of them any more.

    Args:
        folder: Made where it is not there.
        files: Name -> text.
        form: What they are written for; a folder holds files of one form.

    Raises:
        ConfigurationError: A file of such a name is there and somebody else's, or was changed since; or the
            folder holds the files of another form: nothing was written. Or the folder cannot be written.
    """
    note = folder / NOTE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there_for, before = _read(note, form)
        if there_for != form:
            raise ConfigurationError(
                f"{folder} holds the files that `replicator synth` wrote for {there_for}, and these are for "
                f"{form}: nothing was written.",
                f"name another folder with --out; or remove them and {NOTE}, if nobody deploys from it.",
            )
        for name in {*files, *before}:
            path = folder / name
            if path.exists() and (there := _digest(path.read_bytes())) != before.get(name):
                if name in files and there == _digest(files[name].encode()):
                    continue
                raise ConfigurationError(
                    f"{path} is there already, and was not written like this by `replicator synth`.",
                    "name another folder with --out, or remove that file.",
                )
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
        for name in before.keys() - files.keys():
            (folder / name).unlink(missing_ok=True)
        digests = {name: _digest(text.encode()) for name, text in sorted(files.items())}
        note.write_text(json.dumps({"format": form, "files": digests}, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"The files cannot be written to {folder}: {error.strerror}.", "name another folder with --out."
        ) from error


def _read(note: Path, form: str) -> tuple[str, dict[str, str]]:
    """For what the files of the time before were written, and their digests; *form* where there are none."""
    if not note.exists():
        return form, {}
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
        if isinstance(found["format"], str) and all(
            isinstance(one, str) and Path(name).name == name for name, one in found["files"].items()
        ):
            return found["format"], dict(found["files"])
    except (ValueError, LookupError, TypeError, AttributeError):
        found = None
    raise ConfigurationError(
        f"{note} does not say which files `replicator synth` has written.",
        "name another folder with --out, or remove that file and what was written beside it.",
    )


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
