"""The signed evidence of a cutover, left behind whatever came of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ddbverify.errors import DdbVerifyError
from ddbverify.evidence import cutover as cutover_evidence
from ddbverify.evidence.cutover import CutoverEvidence, Outcome
from ddbverify.gate import gate
from ddbverify.metrics import measures, sending
from ddbverify.tables import aws
from replicator.aws.pointer import Pointer
from replicator.context.context import Context
from replicator.handlers.state import now_text


def is_left(context: Context, steps: Mapping[str, str]) -> bool:
    """Whether the evidence that is here is of the flip of these steps."""
    found = cutover_evidence.latest(context.config)
    return found is not None and found.outcome == "flipped" and found.steps.get("flip") == steps.get("flip")


def leave(
    context: Context,
    outcome: Outcome,
    pointer: Pointer,
    steps: Mapping[str, str],
    judged: gate.Decision | Path | None,
    reason: str | None,
) -> None:
    """
    Sign what was done. The cutover stands, or was rolled back, whatever becomes of this.

    Args:
        judged: What the gate said of the last verification, or the folder of one that is read again,
            whatever the gate says of it by now; ``None``: it came to none.
        reason: Why it was rolled back.
    """
    try:
        if isinstance(judged, Path):
            judged = gate.judge(context.config, judged)
        made = _evidence(context, outcome, pointer, steps, judged, reason)
        cutover_evidence.write(context.config, made)
    except (DdbVerifyError, OSError) as error:
        context.console.warn(f"the evidence of this cutover could not be signed and kept: {error}")
    config = context.config
    sending.send(
        lambda: measures.of_cutover(
            config.name, outcome, steps, fence_limit=float(config.cutover.fence_limit)
        ),
        config.metrics,
        config.folder,
        f"replicator_cutover_{config.name}",
        context.console.warn,
    )


def _evidence(
    context: Context,
    outcome: Outcome,
    pointer: Pointer,
    steps: Mapping[str, str],
    judged: gate.Decision | None,
    reason: str | None,
) -> CutoverEvidence:
    found = judged.evidence if judged else None
    return cutover_evidence.make(
        context.config,
        outcome=outcome,
        reason=reason,
        pointer=pointer.name,
        value=pointer.value if outcome == "flipped" else None,
        steps=dict(steps),
        verified_by=cutover_evidence.VerifiedBy(run_id=found.run_id, sha256=judged.sha256)
        if judged and found and judged.sha256
        else None,
        pairs=tuple(
            cutover_evidence.CutoverPair(id=pair.id, source=pair.source, target=pair.target)
            for pair in (found.pairs if found else ())
        ),
        operator=aws.caller(context.source_side),
        emulator=context.emulator,
        written=now_text(),
    )
