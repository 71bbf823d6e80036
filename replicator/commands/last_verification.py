"""
The last verification: `ddbverify run` as a child, under the fence, and what the gate says of it.

Where it can, it looks only at what was written since the run before it: one before the fence keeps it short.
And it is started before the fence, loads what does not depend on the moment, and waits for its word.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from ddbverify.errors import EngineError, Refused
from ddbverify.evidence import folders, links
from ddbverify.gate import gate
from ddbverify.names import table_name
from ddbverify.tables.aws import translated
from ddbverify.words import number_of
from replicator.commands import marking
from replicator.context import clock
from replicator.context.console import Step
from replicator.context.context import Context

if TYPE_CHECKING:
    from ddbverify.evidence.evidence import Evidence

SMALL: Final = 10_000
"""Changed keys that are no reason for one more run before the fence: looked at in seconds."""

MOST_APPROACHES: Final = 3
LONGEST_LOADING_SECONDS: Final = 300.0
_FENCING_SECONDS: Final = 600.0  # assumed, until the fence has begun; one that waits longer ends the cutover
_LOOK_SECONDS: Final = 0.02
_ENDING_SECONDS = 30.0  # that a verification has which took too long; it ends its own child in ten


@dataclass(frozen=True, slots=True)
class Waiting:
    """
    A verification that has loaded everything, and looks at nothing before its word.

    Args:
        process: With an open standard input: its end ends the verification.
        folder: Of the run, once it is one.
        marked: Whether both tables get markers while it reads the streams.
    """

    process: subprocess.Popen[bytes]
    folder: Path
    marked: bool = False

    def give_word(self) -> None:
        """Let it begin; one that has ended meanwhile is not told, which its result shows."""
        if self.process.stdin is None:
            raise RuntimeError("a child process without a pipe")  # it was asked for
        with suppress(BrokenPipeError):
            self.process.stdin.write(b"now\n")

    def has_judged(self, limit_seconds: float) -> bool:
        """
        Wait for its evidence, which it writes last of what decides, or for its end; whether that was in time.

        What it does behind that, a page for people say, is nothing that the application has to wait for.
        """
        deadline = clock.seconds() + limit_seconds
        while not (self.folder / folders.EVIDENCE).exists() and self.process.poll() is None:
            if clock.seconds() > deadline:
                return False
            time.sleep(_LOOK_SECONDS)
        return True


@contextmanager
def waiting(context: Context, *, follows: bool) -> Iterator[Waiting]:
    """
    The last verification, started and waiting for its word; ended with the block, and so behind the fence.

    Args:
        context: Of the direction that is to be flipped; what is verified is the migration.
        follows: Whether it will look only at what was written since the run before it.

    Raises:
        Refused: It could not be loaded; nothing was touched.
        AccessError: It may not read a table; nothing was touched.
    """
    command, context = context.flips_with, context.root
    if not follows:
        _need_readable(context)
    marked = follows
    if follows and (why := marking.why_not(context)):
        marking.warn_of_none(context, why)
        marked = False
    folder = context.config.folder / ".ddbverify" / f"cutover-{int(context.server_time())}"
    limit = f"{math.ceil(context.config.cutover.fence_limit + _FENCING_SECONDS)}s"
    options = ("--out", str(folder), "--at-word", limit, *(("--markers",) if marked else ()))
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            _command(context, *options, follows=follows),
            cwd=context.config.folder,
            bufsize=0,  # what could not be told to one that has died would be tried again at the end
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=subprocess.DEVNULL,
        ) as process,
    ):
        try:
            with context.console.step("the last verification is loaded, and waits for its word"):
                _await_loaded(process, folder / folders.WAITING, said, command)
            yield Waiting(process, folder, marked)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_ENDING_SECONDS)  # it leaves a page
        finally:
            _end(process)


def _need_readable(context: Context) -> None:
    """Read an item of each table as a whole pass does: where that is refused, no fence is put for it."""
    for pair in context.config.tables:
        for client, table in ((context.source, pair.source), (context.target, pair.target)):
            with translated(f"read {table_name(table)}, as the last verification does"):
                client.scan(TableName=table, Limit=1, ConsistentRead=True)


def _await_loaded(process: subprocess.Popen[bytes], waiting: Path, said: BinaryIO, command: str) -> None:
    deadline = clock.seconds() + LONGEST_LOADING_SECONDS
    while not waiting.exists():
        if process.poll() is not None:
            raise Refused(
                f"The last verification could not be loaded, so nothing was touched: {_why(said)}",
                f"mend that, run `ddbverify run`, then `replicator {command}` again.",
            )
        if clock.seconds() > deadline:
            raise Refused(
                f"Nothing was touched: the last verification took {LONGEST_LOADING_SECONDS:.0f} s to load.",
                f"look at what the checks do while they are imported, then run `replicator {command}` again.",
            )
        time.sleep(_LOOK_SECONDS)


def _why(said: BinaryIO) -> str:
    """What a run that ended early said of it, with `--json`."""
    said.seek(0)
    try:
        return str(json.loads(said.read())["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return "it does not say why; `ddbverify run` does"


def verify(
    context: Context,
    verification: Waiting,
    *,
    fenced_at: float,
    limit_seconds: float,
    meanwhile: Callable[[], None] = lambda: None,
) -> gate.Decision:
    """
    Let every check be run once more, and say how the gate judges it.

    Args:
        context: Of the direction that is to be flipped; what is verified is the migration.
        verification: Given its word now.
        fenced_at: Evidence of an earlier run does not count. Seconds since the epoch, the server's clock.
        limit_seconds: It is ended when it takes longer.
        meanwhile: Called once it has begun.

    Raises:
        EngineError: It took too long, or does not open the gate.
    """
    command, context, folder = context.flips_with, context.root, verification.folder
    verification.give_word()
    with marking.written(context, folder) if verification.marked else nullcontext(False) as marked:
        meanwhile()
        has_judged = verification.has_judged(limit_seconds)
    if not has_judged:
        raise EngineError(
            "The last verification did not end within [cutover] fence_limit.",
            f"raise fence_limit or [verification] read_units, then run `replicator {command}` again.",
        )
    decision = gate.judge(context.config, folder, not_before=fenced_at, allow_churning=False)
    if not decision.open:
        reasons = "".join(f"\n  - {reason}" for reason in decision.reasons)
        raise EngineError(
            f"The last verification does not open the gate:{reasons}",
            f"look into {folder} (findings.jsonl names the keys), then run `replicator {command}` again.",
        )
    if marked and decision.evidence is not None:
        for pair in context.config.tables:
            ends = links.ends_of(decision.evidence, pair.id)
            if ends is not None and ends.assumed:
                lag = context.config.cutover.stream_lag
                context.console.warn(f"{pair}: no marker was met in time: {ends.in_words(lag)}")
    return decision


def shows_all(decision: gate.Decision) -> bool:
    """Whether a verification has read both streams to their ends: what was written before shows by then."""
    return decision.evidence is not None and links.is_link(decision.evidence)


def can_follow(context: Context, evidence: Evidence | None) -> bool:
    """Whether a run can look only at what was written since the one of *evidence*, as far as that says."""
    if evidence is None or context.config.verification.last == "full" or links.why_no_base(evidence):
        return False
    return all(links.places_of(evidence, pair.id) is not None for pair in context.config.tables)


def approach(context: Context, step: Step, limit_seconds: float) -> None:
    """
    Look at what was written since the last run while the application still writes, until little is left.

    Args:
        context: Of the direction that is to be flipped; what is verified is the migration.
        step: Is told how much there was.
        limit_seconds: One run is ended when it takes longer.

    Raises:
        Refused: What was written does not open the gate; nothing was touched.
    """
    command, context = context.flips_with, context.root
    before: int | None = None
    for _ in range(MOST_APPROACHES):
        status = run(_command(context, follows=True), context.config.folder, limit_seconds)
        if status is None:
            raise Refused(
                f"What was written since the last run was not looked at within {limit_seconds:.0f} s ([gate] "
                "max_age), so nothing was touched.",
                "raise [verification] read_units, or run `ddbverify run` when less is written, then "
                f"`replicator {command}` again.",
            )
        decision = gate.judge(context.config, None)
        if not decision.open:
            reasons = "".join(f"\n  - {reason}" for reason in decision.reasons)
            raise Refused(
                f"What was written since the last run (exit {status}) does not open the gate, so nothing was "
                f"touched:{reasons}",
                f"mend what it names, then `ddbverify run`, then `replicator {command}` again.",
            )
        changed = sum(links.changed_in(decision.evidence).values()) if decision.evidence else 0
        step.result = f"{number_of(changed, 'key')} looked at"
        if changed <= SMALL or (before is not None and changed > before / 2):
            return
        before = changed


def _command(context: Context, *options: str, follows: bool) -> list[str]:
    # Where the judged run is no base, the newest that is one may have begun before this direction followed.
    since = ("--since", "latest") if follows else ()
    config = str(context.config_path)
    return [sys.executable, "-m", "ddbverify", "run", "--config", config, "--json", *since, *options]


def run(command: Sequence[str], folder: Path, limit_seconds: float) -> int | None:
    """Exit status of a child; ``None`` if it was ended because it took too long."""
    with subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as child:
        return _status(child, limit_seconds)


def _status(child: subprocess.Popen[bytes], limit_seconds: float) -> int | None:
    try:
        return child.wait(limit_seconds)
    except BaseException as error:
        _end(child)
        if isinstance(error, subprocess.TimeoutExpired):
            return None
        raise


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a child, if it has not ended."""
    if child.poll() is None:
        child.terminate()  # not killed: it has a child of its own to end
        try:
            child.wait(_ENDING_SECONDS)
        except subprocess.TimeoutExpired:  # the application cannot write as long as the fence is up
            child.kill()
