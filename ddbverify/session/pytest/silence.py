"""
In a gated run, standard output and error are the reporter's and ours; what else is written there is lost.

A check's output is captured while it runs. What a thread writes later, an exit handler, a hook of a
``conftest.py``, or pytest itself about an exception that came out of one, would be seen: it may hold values.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any, TextIO

import pytest
from _pytest.config import create_terminal_writer  # pytest's own choice of colours and width

import ddbverify

OUTPUT = pytest.StashKey[TextIO]()
"""Where pytest's reporter writes."""

ERRORS = pytest.StashKey[TextIO]()
"""Standard error itself: while a check runs, pytest has put a file in its place."""


def kept(config: pytest.Config) -> Generator[None, Any, Any]:
    """A whole session, from before its plugins are configured to its end."""
    begin(config)
    try:
        return (yield)
    except pytest.UsageError as error:
        print(f"ERROR: {_words_of(error)}", file=config.stash[ERRORS], flush=True)
        raise


def begin(config: pytest.Config) -> None:
    """
    Keep the terminal for those who ask for it by name, for the rest of the process.

    Raises:
        pytest.UsageError: Output is not captured, or in a way that is not known here.
    """
    if config.option.capture != "fd":
        raise pytest.UsageError(
            f"--capture={config.option.capture} shows what checks print: refused in `ddbverify run`. Use it "
            "with pytest itself."
        )
    sys.stdout.flush()
    sys.stderr.flush()
    config.stash[OUTPUT] = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace", buffering=1)
    config.stash[ERRORS] = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace", buffering=1)
    captures = getattr(config.pluginmanager.get_plugin("capturemanager"), "_global_capturing", None)
    # Where pytest puts standard output back to, between two checks and at the end.
    originals = [getattr(getattr(captures, name, None), "targetfd_save", None) for name in ("out", "err")]
    if not all(isinstance(one, int) for one in originals):
        raise pytest.UsageError(
            "this version of pytest captures output in a way that ddbverify does not know. Install the "
            "version that it has been tested with."
        )
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2, *originals):
        os.dup2(nowhere, descriptor)  # type: ignore[arg-type]  # integers, as was just seen
    os.close(nowhere)


def descriptors(config: pytest.Config) -> tuple[int, int]:
    """The files behind standard output and error, which are the session's own."""
    return config.stash[OUTPUT].fileno(), config.stash[ERRORS].fileno()


def give_to_reporter(config: pytest.Config) -> None:
    """Let pytest's reporter, which has found standard output to be nothing, have the terminal."""
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    file = config.stash.get(OUTPUT, None)
    if reporter is not None and file is not None:
        reporter._tw = create_terminal_writer(config, file)  # noqa: SLF001 - it takes no other in public
        reporter._screen_width = reporter._tw.fullwidth  # noqa: SLF001
        reporter.isatty = type(reporter.isatty)(file.isatty())  # a bool that can be called, or a bool


def _words_of(error: BaseException) -> str:
    """What an error says, if pytest or we have raised it: the words of a ``conftest.py`` may hold values."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    file = Path(trace.tb_frame.f_code.co_filename) if trace is not None else Path()
    ours = (Path(ddbverify.__file__).parent, Path(pytest.__file__).parents[1] / "_pytest")
    if any(file.is_relative_to(folder) for folder in ours):
        return "\n".join(map(str, error.args))
    return f"{type(error).__name__} at {file.name}:{trace.tb_lineno if trace is not None else 0}"
