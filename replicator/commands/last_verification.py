"""
The last verification: `ddbverify run` as a child, under the fence, and what the gate says of it.

Where it can, it looks only at what was written since the run before it: one before the fence keeps it short.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ddbverify.errors import EngineError, Refused
from ddbverify.evidence import links
from ddbverify.gate import gate
from ddbverify.words import number_of
from replicator.commands import marking
from replicator.context.console import Step
from replicator.context.context import Context

if TYPE_CHECKING:
    from ddbverify.evidence.evidence import Evidence

SMALL: Final = 10_000
"""Changed keys that are no reason for one more run before the fence: looked at in seconds."""

MOST_APPROACHES: Final = 3
_ENDING_SECONDS = 30.0  # that a verification has which took too long; it ends its own child in ten


def verify(
    context: Context, folder: Path, *, fenced_at: float, limit_seconds: float, follows: bool = False
) -> gate.Decision:
    """
    Run every check once more, into *folder*, and say how the gate judges it.

    Args:
        fenced_at: Evidence of an earlier run does not count. Seconds since the epoch, the server's clock.
        limit_seconds: It is ended when it takes longer.
        follows: Whether it will look only at what was written since: then both tables get markers meanwhile.

    Raises:
        EngineError: It took too long, or does not open the gate.
    """
    with marking.written(context, folder) if follows else nullcontext(False) as marked:
        options = ("--out", str(folder), *(("--markers",) if marked else ()))
        status = run(_command(context, *options), context.config.folder, limit_seconds)
    if status is None:
        raise EngineError(
            "The last verification did not end within [cutover] fence_limit.",
            "raise fence_limit or [verification] read_units, then run `replicator cutover` again.",
        )
    decision = gate.judge(context.config, folder, not_before=fenced_at, allow_churning=False)
    if not decision.open:
        reasons = "".join(f"\n  - {reason}" for reason in decision.reasons)
        raise EngineError(
            f"The last verification (exit {status}) does not open the gate:{reasons}",
            f"look into {folder} (findings.jsonl names the keys), then run `replicator cutover` again.",
        )
    if marked and decision.evidence is not None:
        for pair in context.config.tables:
            ends = links.ends_of(decision.evidence, pair.id)
            if ends is not None and ends.assumed:
                lag = context.config.cutover.stream_lag
                context.console.warn(f"{pair}: no marker was met in time: {ends.in_words(lag)}")
    return decision


def can_follow(context: Context, evidence: Evidence | None) -> bool:
    """Whether a run can look only at what was written since the one of *evidence*, as far as that says."""
    if evidence is None or context.config.verification.last == "full" or links.why_no_base(evidence):
        return False
    return all(links.places_of(evidence, pair.id) is not None for pair in context.config.tables)


def approach(context: Context, step: Step, limit_seconds: float) -> None:
    """
    Look at what was written since the last run while the application still writes, until little is left.

    Args:
        context: Of the migration.
        step: Is told how much there was.
        limit_seconds: One run is ended when it takes longer.

    Raises:
        Refused: What was written does not open the gate; nothing was touched.
    """
    before: int | None = None
    for _ in range(MOST_APPROACHES):
        status = run(_command(context), context.config.folder, limit_seconds)
        if status is None:
            raise Refused(
                f"What was written since the last run was not looked at within {limit_seconds:.0f} s ([gate] "
                "max_age), so nothing was touched.",
                "raise [verification] read_units, or run `ddbverify run` when less is written, then "
                "`replicator cutover` again.",
            )
        decision = gate.judge(context.config, None)
        if not decision.open:
            reasons = "".join(f"\n  - {reason}" for reason in decision.reasons)
            raise Refused(
                f"What was written since the last run (exit {status}) does not open the gate, so nothing was "
                f"touched:{reasons}",
                "mend what it names, then `ddbverify run`, then `replicator cutover` again.",
            )
        changed = sum(links.changed_in(decision.evidence).values()) if decision.evidence else 0
        step.result = f"{number_of(changed, 'key')} looked at"
        if changed <= SMALL or (before is not None and changed > before / 2):
            return
        before = changed


def _command(context: Context, *options: str) -> list[str]:
    since = ("--since", "latest") if context.config.verification.last == "changes" else ()
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
        try:
            return child.wait(limit_seconds)
        except BaseException as error:
            child.terminate()  # not killed: it has a child of its own to end
            try:
                child.wait(_ENDING_SECONDS)
            except subprocess.TimeoutExpired:  # the application cannot write as long as the fence is up
                child.kill()
            if isinstance(error, subprocess.TimeoutExpired):
                return None
            raise
