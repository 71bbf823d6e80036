"""What a cutover asks before its fence: whether the gate is open, and whether changes come all the way."""

from __future__ import annotations

from ddbverify.errors import Refused
from ddbverify.gate import gate
from replicator.aws import canary
from replicator.commands import newest_run
from replicator.context.context import Context


def ask(context: Context) -> gate.Decision:
    """
    What the gate says, which is open.

    Raises:
        Refused: It is closed, with every reason.
    """
    with context.console.step("the gate is open"):
        newest_run.note(context)
        decision = gate.judge(context.root.config, None)
        if not decision.open:
            reasons = "".join(f"\n  - {reason}" for reason in decision.reasons)
            raise Refused(
                f"The gate is closed, so nothing was touched:{reasons}",
                f"mend what it names, then `ddbverify run`, then `replicator {context.flips_with}` again.",
            )
    return decision


def fly_canaries(context: Context) -> None:
    """Prove the way of each pair; where no canary may fly, the audits of the drain do, under the fence."""
    if not context.config.replicated.canary:
        return
    with context.console.step("a canary has come all the way") as step:
        for pair in context.config.tables:
            canary.await_arrived(context, context.source_table(pair), context.state(pair), step)
