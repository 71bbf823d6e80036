"""Commands of the operator's own: split by the shell's rules of quoting, and run without a shell."""

from __future__ import annotations

import shlex
import subprocess

from ddbverify.errors import EngineError
from ddbverify.words import plain

TIMEOUT_SECONDS = 120.0

_LONGEST = 200  # of its words, which go into the evidence, too


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
    Run a command to its end.

    Args:
        words: Its last arguments.
        folder: Where it runs.
        whose: What it is, for people, as the first words of a sentence.
        hint: What to do where it fails.
        document: What it gets on its standard input; nothing by default.
        timeout_seconds: After that it is killed.

    Raises:
        EngineError: It cannot be run, does not end in time, or ends with another status than 0.
    """
    try:
        done = subprocess.run(
            [*shlex.split(command), *words],
            cwd=folder,
            # `input=None` would leave it our own standard input.
            **({"stdin": subprocess.DEVNULL} if document is None else {"input": document}),
            capture_output=True,
            text=True,
            errors="replace",  # what it says is for people only: its status decides
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"{whose} did not end within {timeout_seconds:.0f} s.", hint) from error
    except (OSError, ValueError) as error:
        raise EngineError(f"{whose} could not be run: {error}", hint) from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["nothing"]
        asked = f" for `{' '.join(words)}`" if words else ""
        raise EngineError(
            f"{whose} ended with {done.returncode}{asked}, saying: {plain(said[0][:_LONGEST])}", hint
        )
