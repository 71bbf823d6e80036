"""
The word: a line on standard input, for which a run waits that has loaded everything.

Whoever must not lose a second once a moment has come (the last verification, while nobody can write) starts
the run before that moment. Until the word nothing is read of tables or streams that would count.
"""

from __future__ import annotations

import os
import select
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ddbverify.errors import Refused
from ddbverify.evidence import folders
from ddbverify.runs.watching import Child, watch
from ddbverify.session.told import CHANGES, WHOLE

WORD: Final = "now"

_MOST_BYTES: Final = 100

Watched = Callable[[Path], Callable[[str], None] | None]
"""Shows an event log from here on; may take lines of output, which then go nowhere else."""


@dataclass(frozen=True, slots=True)
class Word:
    """
    Where the word comes from, and until when.

    Args:
        descriptor: Read from.
        limit_seconds: For so long it is waited for.
        ended: Called, from another thread, when the input ends after the word: whoever gave it is gone.
    """

    descriptor: int
    limit_seconds: float
    ended: Callable[[], None]

    def wait(self, child: Child, folder: Path) -> None:
        """
        Wait for it; *folder* has a file as soon as *child* has loaded the checks, and until the word comes.

        Raises:
            Refused: It did not come, or is another one; or the checks could not be loaded.
        """
        deadline = time.monotonic() + self.limit_seconds
        waiting, watched, said = folder / folders.WAITING, {self.descriptor, child.fileno()}, b""
        while b"\n" not in said:
            ready = select.select(watched, [], [], max(0.0, deadline - time.monotonic()))[0]
            if not ready:
                raise _no_word(f"none came within {self.limit_seconds:g} s")
            if child.fileno() in ready:
                watched.remove(child.fileno())
                if child.has_loaded() is None:
                    raise Refused(
                        "The checks could not be loaded, so the run waits for no word.",
                        "run `ddbverify run` without --at-word: it says why.",
                    )
                waiting.touch()
            if self.descriptor in ready:
                read = os.read(self.descriptor, _MOST_BYTES)
                if not read:
                    raise _no_word("standard input has ended")
                said += read
            if len(said) > _MOST_BYTES:
                break
        waiting.unlink(missing_ok=True)
        if said.partition(b"\n")[0].strip() != WORD.encode():
            raise _no_word("another line came")
        threading.Thread(target=self._watch, name="ddbverify-word", daemon=True).start()

    def _watch(self) -> None:
        while os.read(self.descriptor, _MOST_BYTES):
            pass
        self.ended()


@dataclass(slots=True)
class Checks:
    """
    The process in which the checks are run: loaded before the word, or started once it is known what to read.

    Args:
        command: Of that process, from the folder of the keys to look at; ``None``: all of the tables.
        folder: Where it is started.
        run_folder: Of the run.
        to_stderr: Whether what it shows goes there.
        lines: Takes what it shows, see `watching.watch`.
    """

    command: Callable[[Path | None], list[str]]
    folder: Path
    run_folder: Path
    to_stderr: bool
    lines: Callable[[str], None] | None = None
    _ahead: Child | None = None

    def load(self, word: Word, changed: Path | None) -> None:
        """
        Load them, and wait for the word; whatever comes in its place leaves no process and no folder.

        Args:
            word: Waited for.
            changed: Where the keys are going to be, if they can be had.

        Raises:
            Refused: See `Word.wait`.
        """
        try:
            self._ahead = Child(
                self.command(changed), self.folder, to_stderr=self.to_stderr, waits=True, lines=self.lines
            )
            word.wait(self._ahead, self.run_folder)
        except BaseException:
            self.end()
            shutil.rmtree(self.run_folder, ignore_errors=True)
            raise

    def run(self, changed: Path | None, say: Callable[[str], None]) -> tuple[bool, int]:
        """Run them; see `watching.watch`."""
        if self._ahead is not None:
            if self._ahead.tell(WHOLE if changed is None else CHANGES):
                return self._ahead.to_its_end()
            self.end()
            say("The checks are loaded anew: loading them has reached for more than files.")
            for name in (folders.RECORD, folders.FINDINGS, folders.STUCK):
                (self.run_folder / name).unlink(missing_ok=True)
        return watch(self.command(changed), self.folder, to_stderr=self.to_stderr, lines=self.lines)

    def end(self) -> None:
        """End what was loaded, if it has not ended."""
        if self._ahead is not None:
            self._ahead.end()
            self._ahead = None


def _no_word(why: str) -> Refused:
    return Refused(
        f"The run was not given the word: {why}. Nothing was read, and it has left nothing.",
        f"write the line `{WORD}` to its standard input in time, and keep that open until the run has ended.",
    )
