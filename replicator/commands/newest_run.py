"""
Notes in the state table which run of ``ddbverify`` was started last, for every gate of the migration.

A gate on another machine sees evidence and no folders; what is noted here it sees, too. The verifier
itself writes nothing to AWS, so commands of the operator do it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ddbverify.gate.superseded import newest
from ddbverify.names import Fact
from ddbverify.pipeline.newest_run import NewestRun
from ddbverify.tables.aws import translated
from replicator.context.context import Context


def note(context: Context) -> None:
    """
    Note the newest run beside ``migration.toml``, unless a newer one is noted, or the same with its evidence.

    Raises:
        EngineError: AWS refused.
        ConfigurationError: The trusted keys cannot be used.
    """
    here = newest(context.root.config)
    if here is None:
        return
    with translated("note the newest run in the state table"):
        while True:  # another machine may note another between the read and the write
            held = context.whole.get(Fact.NEWEST_RUN)
            if _covers(held, here) or context.whole.put_over(Fact.NEWEST_RUN, held, **here.as_fact()):
                return


def _covers(held: Mapping[str, Any] | None, here: NewestRun) -> bool:
    """Whether what is noted is newer than *here*, or the same with no less evidence."""
    try:
        noted = NewestRun.of_fact(held)
    except ValueError:
        return False  # written anew, which ends that
    return noted is not None and (noted.started_ms, noted.sha256) >= (here.started_ms, here.sha256)
