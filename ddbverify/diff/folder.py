"""
The folder of a diff (``--out``): findings, checkpoint, summary, and who may write to it.

One process at a time, held by a lock that the system drops when the process dies; so the
folder of a run that crashed can be resumed at once, and nobody has to remove anything.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from ddbverify.errors import ConfigurationError, Inconclusive
from ddbverify.evidence.folders import EVENTS, FINDINGS, REPAIR_KEY, write_atomically
from ddbverify.evidence.repairs import PairOf, RepairFile
from ddbverify.items.states import Difference

LOCK: Final = "lock"
SETTINGS: Final = "settings.json"
SUMMARY: Final = "summary.json"
CHECKPOINT: Final = "checkpoint"


class DiffFolder:
    """An open folder; use it in a ``with`` statement."""

    def __init__(self, path: Path, settings: Mapping[str, Any], *, resume: bool = False) -> None:
        """
        Make the folder of a new run, or take up that of an interrupted one.

        Args:
            path: The folder.
            settings: What decides about the result, as JSON; a resumed run needs the same.
            resume: Whether to go on with the run in it.

        Raises:
            ConfigurationError: It holds another run or other files, another process is at work
                in it, there is nothing to resume, or it cannot be written to.
        """
        self.path = path
        self.resumed = resume
        self.written = 0  # findings, by this process
        self.repair: RepairFile | None = None  # None: the digests of what went before had another secret
        self._require_usable(resume=resume)
        try:
            self._made = not path.exists()
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unusable(error) from error
        try:
            self._take(settings)
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.repair is not None:
            self.repair.discard()
        os.close(self._findings)
        os.close(self._lock)

    @property
    def findings(self) -> Path:
        """Every finding, one JSON object per line."""
        return self.path / FINDINGS

    @property
    def checkpoint(self) -> Path:
        """How far the comparison is; the engine's own."""
        return self.path / CHECKPOINT

    def write(self, line: str) -> None:
        """
        Append one finding, and hand it to the operating system before returning.

        Raises:
            Inconclusive: The disk is full, or the like.
        """
        left = line.encode("ascii") + b"\n"
        try:
            while left:
                left = left[os.write(self._findings, left) :]
        except OSError as error:
            raise Inconclusive(
                f"The findings cannot be written to {self.findings}: {error.strerror}.",
                "make room, then run the command again with --resume.",
            ) from error
        self.written += 1

    def note(self, pair_id: str, difference: Difference) -> None:
        """Take the same finding for whoever repairs it. Raises Inconclusive as `write`."""
        try:
            if self.repair is not None:
                self.repair.add(pair_id, difference)
        except OSError as error:
            raise Inconclusive(
                f"What is to be repaired cannot be written to {self.path}: {error.strerror}.",
                "make room, then run the command again with --resume.",
            ) from error

    def drop_earlier(self) -> None:
        """
        Leave only what this process has found, once a resumed comparison has come to its end.

        Until then the earlier findings stay: the comparison decides every key that was open
        anew and hands all of its findings on again, those that still hold.

        Raises:
            Inconclusive: The disk is full, or the like; everything is as it was.
        """
        if not self._earlier:
            return
        beside = self.path / f".{FINDINGS}"
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as kept, self.findings.open("rb") as file:
                file.seek(self._earlier)
                shutil.copyfileobj(file, kept)
                kept.flush()
                os.fsync(kept.fileno())
            beside.replace(self.findings)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise Inconclusive(
                f"Findings of before the interruption are still in {self.findings}: {error.strerror}.",
                "make room, then run the command again with --resume.",
            ) from error

    def finish(self, summary: Mapping[str, Any], repairable: Sequence[PairOf] = ()) -> None:
        """
        Write what the run came to. One that is finished needs its checkpoint no more.

        Args:
            summary: As it is printed.
            repairable: The tables, if the comparison came to its end; else nothing is left to repair by.

        Raises:
            Inconclusive: The disk is full, or the like; the checkpoint is still there.
        """
        try:
            if self.repair is not None and repairable:
                self.repair.finish(repairable)
            write_atomically(self.path / SUMMARY, json.dumps(summary, indent=2).encode() + b"\n")
            if summary["finished"]:
                self._drop_checkpoint()
        except OSError as error:
            raise Inconclusive(
                f"The summary cannot be written to {self.path}: {error.strerror}.",
                "make room, then run the command again with --resume.",
            ) from error

    def discard(self) -> None:
        """Remove a new run that has read nothing, so that the same command can be given again."""
        if self.resumed or self.written:
            return
        if self.repair is not None:
            self.repair.discard()
        for name in (FINDINGS, EVENTS, REPAIR_KEY, SETTINGS, SUMMARY, LOCK):
            (self.path / name).unlink(missing_ok=True)
        self._drop_checkpoint()
        if self._made:
            self.path.rmdir()

    def _drop_checkpoint(self) -> None:
        self.checkpoint.unlink(missing_ok=True)
        shutil.rmtree(self.path / f"{CHECKPOINT}.claims", ignore_errors=True)

    # --- taking it ----------------------------------------------------------------------

    def _require_usable(self, *, resume: bool) -> None:
        """Before anything is made: a folder that is not ours stays as it is."""
        try:
            names = {entry.name for entry in self.path.iterdir()} if self.path.exists() else set()
        except OSError as error:
            raise self._unusable(error) from error
        if SETTINGS in names and not resume:
            raise ConfigurationError(
                f"The folder {self.path} holds another run.",
                "go on with that one with --resume, or name another folder with --out.",
            )
        if SETTINGS not in names and names - {LOCK}:
            raise ConfigurationError(
                f"The folder {self.path} is not empty, and holds no run.",
                "name another folder with --out.",
            )
        if SETTINGS not in names and resume:
            raise ConfigurationError(
                f"There is no run in {self.path} to go on with.",
                "look at the folder's name, or leave out --resume.",
            )

    def _take(self, settings: Mapping[str, Any]) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(
                f"Another run is at work in the folder {self.path}.",
                "wait for its end, or name another folder with --out.",
            ) from error
        self._require_usable(resume=self.resumed)  # again, now that nobody else can change it
        try:
            if self.resumed:
                self._require_same(settings)
                self._require_unfinished()
            else:
                write_atomically(self.path / SETTINGS, json.dumps(settings, indent=2).encode() + b"\n")
            self._findings = os.open(
                self.findings, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
            )
            self._earlier = self._mend()
            # One that an earlier version began has no secret, and its checkpoint another than a new one.
            if not self.resumed or (self.path / REPAIR_KEY).exists():
                self.repair = RepairFile(self.path)
        except OSError as error:
            raise self._unusable(error) from error

    def _require_same(self, settings: Mapping[str, Any]) -> None:
        earlier = _object(self.path / SETTINGS)
        wanted = json.loads(json.dumps(settings))
        changed = sorted(name for name in earlier | wanted if earlier.get(name) != wanted.get(name))
        if changed:
            raise ConfigurationError(
                f"The run in {self.path} was made with other settings: {', '.join(changed)}.",
                f"give the same again (they are in {self.path / SETTINGS}), or name another folder.",
            )

    def _require_unfinished(self) -> None:
        summary = self.path / SUMMARY
        if summary.exists() and _object(summary).get("finished"):
            raise ConfigurationError(
                f"The run in {self.path} has come to its end.",
                f"read {summary}, or name another folder with --out for a new run.",
            )

    def _mend(self) -> int:
        """Cut off a line that a crash has left half written. Returns the bytes of the whole ones."""
        whole = 0
        with self.findings.open("rb") as file:
            for line in file:
                whole += len(line) if line.endswith(b"\n") else 0
        os.ftruncate(self._findings, whole)
        return whole

    def _unusable(self, error: OSError) -> ConfigurationError:
        return ConfigurationError(
            f"The folder {self.path} cannot be used: {error.strerror}.", "name another one with --out."
        )


def settings_of(path: Path) -> dict[str, Any]:
    """
    What the run in a folder was started with; empty where there is none.

    Raises:
        ConfigurationError: The file cannot be read.
    """
    return _object(path / SETTINGS) if (path / SETTINGS).exists() else {}


def _object(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{path} cannot be read ({type(error).__name__}).", "name another folder with --out."
        ) from error
    if not isinstance(document, dict):
        raise ConfigurationError(
            f"{path} is damaged: it holds no JSON object.", "name another folder with --out."
        )
    return document
