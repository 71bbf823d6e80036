"""Commands of the operator's own: split by the shell's rules of quoting, and run without a shell."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys

from ddbverify.errors import EngineError
from ddbverify.words import plain

TIMEOUT_SECONDS = 120.0

_LAST_SECONDS = 1.0  # for what is ended to end by itself

_LONGEST = 400  # of its words, which go into the evidence, too; AWS names the missing action behind an ARN


def run(
    command: str,
    *words: str,
    folder: str,
    whose: str,
    hint: str,
    document: str | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> None:
    """
    Run a command to its end, in a session of its own: it has no terminal, and Ctrl-C is ours.

    Args:
        words: Its last arguments.
        folder: Where it runs.
        whose: What it is, for people, as the first words of a sentence.
        hint: What to do where it fails.
        document: What it gets on its standard input; nothing by default.
        timeout_seconds: After that it is ended, with whatever it has started; so it is by Ctrl-C.

    Raises:
        EngineError: It cannot be run, does not end in time, or ends with another status than 0.
    """
    try:
        child = subprocess.Popen(
            [*shlex.split(command), *words],
            cwd=folder,
            stdin=subprocess.DEVNULL if document is None else subprocess.PIPE,  # never ours
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",  # what it says is for people only: its status decides
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise EngineError(f"{whose} could not be run: {error}", hint) from error
    with child:
        try:
            out, err = child.communicate(document, timeout=timeout_seconds)
        except subprocess.TimeoutExpired as error:
            _end(child)
            raise EngineError(f"{whose} did not end within {timeout_seconds:.0f} s.", hint) from error
        except BaseException:  # Ctrl-C, which does not reach another session
            _end(child)
            raise
    if child.returncode:
        said = (err or out).strip().splitlines()[-1:] or ["nothing"]
        asked = f" for `{' '.join(words)}`" if words else ""
        raise EngineError(
            f"{whose} ended with {child.returncode}{asked}, saying: {plain(said[0][:_LONGEST])}", hint
        )


def _end(child: subprocess.Popen[str]) -> None:
    """End a command that is still running, and whatever it has started: nothing of it acts later."""
    if sys.platform == "win32":
        child.kill()
        return
    # Asked first: it may have something to undo. The group outlives the command itself.
    _signal(child.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(_LAST_SECONDS)
    _signal(child.pid, signal.SIGKILL)


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # all of it has ended
        os.killpg(group, number)
