"""
``replicator verify``: a run that goes on from the last one, whose evidence lies in the migration's bucket.

What a schedule calls: the machine is a new one each time, so the bucket is what lasts. Which run one can go
on from is for `ddbverify run` to say; this only carries files.
"""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from ddbverify.evidence import folders
from ddbverify.names import stack_name
from replicator.commands import runs_kept
from replicator.commands.invocation import config_option, execute, json_option
from replicator.context.context import Context
from replicator.stack import stacks

_STATUS = "status"
_STANDARD_ERROR = 2  # the descriptor
_WORDS = {0: "equal", 1: "different", 3: "not decided"}


def verify(context: Context, *, bucket: str | None) -> dict[str, Any]:
    """
    Fetch what the last run left, run, and keep what this one leaves.

    Args:
        bucket: Where runs are kept; by default the migration's own.

    Raises:
        NotFoundError: The migration has no bucket.
        EngineError: The bucket refused. Before the run, nothing was run: what was not fetched whole would
            be no ground to stand on.
    """
    config = context.config
    s3 = context.source_client("s3")
    place = (
        bucket
        or stacks.outputs(context.source_client("cloudformation"), stack_name(config.name, "base"))[
            "BundleBucket"
        ]
    )
    with context.console.step("evidence of the runs before") as step:
        fetched = runs_kept.fetch(s3, place, config)
        step.result = f"{len(fetched)} fetched"
    before = runs_kept.names(config)
    status = _run(context.config_path)
    made = sorted(runs_kept.names(config) - before)
    kept: list[str] = []
    for name in made:
        with context.console.step(f"keep the run {name}") as step:
            kept += runs_kept.keep(s3, place, folders.runs(config) / name)
            step.result = f"s3://{place}/{runs_kept.PREFIX}{name}/"
    context.console.line(f"ddbverify run: {_WORDS.get(status, 'it did not run')} (exit {status})")
    return {"ok": status == 0, _STATUS: status, "fetched": fetched, "runs": made, "kept": kept}


def _run(config_path: Path) -> int:
    """Exit status of the run. Its words go where errors go: standard output may be for a machine."""
    command = [sys.executable, "-m", "ddbverify", "run", "--config", str(config_path), "--since", "latest"]
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=_STANDARD_ERROR, check=False).returncode


@click.command(name="verify")
@config_option
@json_option
@click.option("--bucket", metavar="NAME", help="Where runs are kept; by default the migration's own bucket.")
def command(path: Path, as_json: bool, bucket: str | None) -> None:
    """
    `ddbverify run --since latest`, with the runs kept in the bucket.

    For a machine that keeps nothing between two runs. Exit status: that of `ddbverify run`.
    """
    answer = execute(path, as_json=as_json, run=partial(verify, bucket=bucket))
    sys.exit(answer[_STATUS])
