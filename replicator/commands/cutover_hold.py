"""
What is waited for before the last verification: a command of the operator's, and the operator.

Both stand behind the drain, when the target holds everything, and before the consumer is off. So nothing
waits between the last verification and the flip, and what happens meanwhile is verified.
"""

from __future__ import annotations

import json
import os
import select
import stat
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ddbverify.errors import Refused
from replicator.aws import operators_command
from replicator.commands.cutover_fence import Raised
from replicator.context import clock
from replicator.context.console import Step
from replicator.context.context import Context

if sys.platform != "win32":
    import fcntl
    import termios

GO_ON: Final = ("", "yes", "y", "flip")

_LOOK_SECONDS: Final = 0.5
_GONE: Final = 0 if sys.platform == "win32" else select.POLLHUP | select.POLLERR | select.POLLNVAL


def document(context: Context, raised: Raised, pointer: Mapping[str, str]) -> dict[str, Any]:
    """
    What ``[cutover] before_flip`` is told on its standard input.

    Args:
        pointer: Parameter -> what it holds once it is flipped.
    """
    return {
        "migration": context.config.name,
        "fenced_since": datetime.fromtimestamp(raised.since, UTC).isoformat(),
        "seconds_left": int(max(raised.deadline - clock.seconds(), 0)),
        "pairs": [
            {
                "id": pair.id,
                "source": context.source_table(pair).arn,
                "target": context.resources(pair)["target_arn"],
            }
            for pair in context.config.tables
        ],
        "pointer": dict(pointer),
    }


def ask_command(context: Context, told: Mapping[str, Any]) -> None:
    """
    Run ``[cutover] before_flip``.

    Raises:
        EngineError: It does not agree: it ends with another status than 0, or not in time.
    """
    operators_command.run(
        context.config.cutover.before_flip or "",
        folder=str(context.config.folder),
        whose="The command of [cutover] before_flip",
        hint=f"see why it does not agree, then run `replicator {context.flips_with}` again.",
        document=json.dumps(told),
        timeout_seconds=max(min(operators_command.TIMEOUT_SECONDS, told["seconds_left"]), 1.0),
    )


def need_input() -> int:
    """
    The descriptor of standard input, on which the operator lets a held cutover go on.

    Raises:
        Refused: There is none, or it is at its end already: nobody could.
    """
    try:
        answers = sys.stdin.fileno()
        why = _why_nobody_answers(answers)
    except (AttributeError, OSError, ValueError):
        why = "there is none"
    if why:
        raise Refused(
            f"--hold waits for a line on standard input, and {why}.",
            "run it in a terminal, or with a pipe that stays open until you answer.",
        )
    return answers


def _why_nobody_answers(answers: int) -> str:
    """What is known to keep a line from ever coming, in words; empty where nothing is. Reads nothing."""
    if sys.platform == "win32" or os.isatty(answers):
        return ""
    if fcntl.fcntl(answers, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY:
        return "it cannot be read"
    found = os.fstat(answers)
    if stat.S_ISREG(found.st_mode):
        ended = os.lseek(answers, 0, os.SEEK_CUR) >= found.st_size
    elif stat.S_ISCHR(found.st_mode):
        ended = found.st_rdev == Path(os.devnull).stat().st_rdev
    else:  # a pipe, or a socket
        look = select.poll()
        look.register(answers, select.POLLIN)
        ended = any(event & _GONE and not event & select.POLLIN for _, event in look.poll(0))
    return "that is at its end" if ended else ""


def hold(context: Context, answers: int, deadline: float, still: Callable[[], None], step: Step) -> None:
    """
    Wait until the operator lets it go on.

    Args:
        answers: The descriptor that a line is read from.
        deadline: By when the flip has to be done, on `clock.seconds`.
        still: Called before each look; raises where the cutover cannot go on.

    Raises:
        Refused: The answer is another one, or there will be none.
    """
    _forget_what_was_typed(answers)
    context.console.line(
        f"  ▸ held: the source is fenced, and the target holds everything. Enter goes on with the last "
        f"verification and the flip; `no` or Ctrl-C rolls back. {deadline - clock.seconds():.0f} s are left "
        "for all of it."
    )
    line = b""
    while b"\n" not in line:
        still()
        step.at(f"waiting for you, {deadline - clock.seconds():.0f} s left")
        if not select.select([answers], [], [], _LOOK_SECONDS)[0]:
            continue
        read = os.read(answers, 1024)
        if not read:
            raise _not_let_go("standard input has ended", context.flips_with)
        line += read
    answer = line.partition(b"\n")[0].decode(errors="replace").strip().lower()
    if answer not in GO_ON:
        raise _not_let_go("the answer was not to go on", context.flips_with)


def _forget_what_was_typed(answers: int) -> None:
    """An Enter of some minutes ago, before anybody was asked, lets nothing go on."""
    if sys.platform != "win32" and os.isatty(answers):
        termios.tcflush(answers, termios.TCIFLUSH)


def _not_let_go(why: str, command: str) -> Refused:
    return Refused(
        f"The {command} was held, and {why}.",
        f"run `replicator {command}` again: it starts over, with the gate.",
    )
