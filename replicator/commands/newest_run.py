"""
Notes in the state table which run of ``ddbverify`` was started last, for every gate of the migration.

A gate on another machine sees evidence and no folders; what is noted here it sees, too. The verifier
itself writes nothing to AWS, so commands of the operator do it.
"""

from __future__ import annotations

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
    here = newest(context.config)
    if here is None:
        return
    with translated("note the newest run in the state table"):
        noted = _noted(context)
        if noted is None or (noted.started_ms, noted.sha256) < (here.started_ms, here.sha256):
            context.whole.put(Fact.NEWEST_RUN, **here.as_fact())


def _noted(context: Context) -> NewestRun | None:
    try:
        return NewestRun.of_fact(context.whole.get(Fact.NEWEST_RUN))
    except ValueError:
        return None  # written anew, which ends that
