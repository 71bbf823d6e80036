"""The pages that the story leaves: on the run that named an altered item, and on the cutover."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ddbverify.errors import ConfigurationError
from replicator.demo.shell import Shell, StepFailed

ALTERED: Final = "altered.html"
CUTOVER: Final = "report.html"


def prepare(folder: Path | None) -> None:
    """
    Make the folder that pages are left in, before a minute is spent on what they show.

    Raises:
        ConfigurationError: It cannot be made.
    """
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"Reports cannot be left in {folder}: {error.strerror}.", "name another folder with --report."
        ) from error


def leave(shell: Shell, folder: Path | None, name: str) -> None:
    """Leave the page on the latest run; one that cannot be made is said, and is no failure of the story."""
    if folder is None:
        return
    file = folder.resolve() / name  # the command runs in the migration's folder
    try:
        answer = shell.json("ddbverify", "report", "--out", str(file), fails=None)
    except StepFailed as error:
        why = str(error)
    else:
        refused = answer.get("error", {}).get("message")
        why = "" if answer.get("file") else refused or f"it ended with {answer.get('exit_code')}"
    shell.console.line(f"    no {name}: {why}" if why else f"    {folder / name}")
