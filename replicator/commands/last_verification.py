"""The last verification: `ddbverify run` as a child, under the fence, and what the gate says of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ddbverify.errors import EngineError
from ddbverify.gate import gate
from replicator.context.context import Context

_ENDING_SECONDS = 30.0  # that a verification has which took too long; it ends its own child in ten


def verify(context: Context, folder: Path, *, fenced_at: float, limit_seconds: float) -> gate.Decision:
    """
    Run every check once more, into *folder*, and say how the gate judges it.

    Args:
        fenced_at: Evidence of an earlier run does not count. Seconds since the epoch, the server's clock.
        limit_seconds: It is ended when it takes longer.

    Raises:
        EngineError: It took too long, or does not open the gate.
    """
    command = [
        sys.executable,
        "-m",
        "ddbverify",
        "run",
        "--config",
        str(context.config_path),
        "--out",
        str(folder),
        "--json",
    ]
    status = run(command, context.config.folder, limit_seconds)
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
    return decision


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
