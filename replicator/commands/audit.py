"""
Holds the stream itself against the ledger: nothing was lost on the way. Behind the flip, who still writes.

What an audit of a pair is stands in `replicator.audits`; this is the command.
"""

from __future__ import annotations

from typing import Any

from ddbverify.config import Pair
from ddbverify.errors import Refused
from ddbverify.words import begins_anew, number_of
from replicator.audits import auditing
from replicator.audits.auditing import Audit as Audit
from replicator.audits.place import COMMAND
from replicator.aws.switch import CUTOVER
from replicator.commands import after_flip, audit_place, invocation, newest_run, notices
from replicator.commands.notices import Notices
from replicator.context import live
from replicator.context.context import Context


def lost_hint(context: Context) -> str:
    """What to do about `Audit.lost`: nothing that an audit reads tells what is not forwarded yet."""
    return (
        "see `replicator status`: where the forwarder is behind the stream, audit again once it has caught "
        f"up; what is lost then is lost, and {begins_anew(context.cycle)}."
    )


def audit(context: Context, *, by: str = COMMAND) -> dict[str, Any]:
    """
    Audit every pair, and tell what was found; behind the flip, who still writes to the sources.

    Args:
        by: Who audits.

    Raises:
        Refused: Something is lost, or may be; or a pair has no ledger yet.
    """
    with notices.of(context, "audit") as told:
        return _audit(context, told, by)


def _audit(context: Context, told: Notices, by: str) -> dict[str, Any]:
    context.need_begun()
    context.need_no_restart()
    context = live.direction(context)
    newest_run.note(context)
    if (context.whole.get(CUTOVER) or {}).get("flipped"):
        return after_flip.audited(context, by=by)
    answer: dict[str, Any] = {}
    for pair in context.config.tables:
        if "ledger_table" not in context.resources(pair):
            raise Refused(f"{pair} has no ledger yet.", "run `replicator restore` first.")
        found = run(context, pair, by=by)
        answer[str(pair)] = {
            "examined": found.examined,
            "under_way": found.young,
            "lost": len(found.lost),
            "gap": found.gap or None,
        }
        under_way = f", {number_of(found.young, 'key')} under way" if found.young else ""
        context.console.line(
            f"{pair}: {number_of(found.examined, 'record')} examined, lost {len(found.lost)}{under_way}"
        )
        if found.gap:
            told.tell("gap", cycle=context.cycle, reason=f"{pair}: {found.gap}")
            raise Refused(found.gap, f"the gate stays shut; {begins_anew(context.cycle)}.")
        if found.lost:
            said = f"{number_of(len(found.lost), 'change')} of {pair} never applied."
            told.tell("lost", cycle=context.cycle, reason=said)
            raise Refused(said, lost_hint(context))
    return {"pairs": answer}


def run(context: Context, pair: Pair, *, to_the_end: bool = False, by: str = COMMAND) -> Audit:
    """
    Audit one pair from where the last audit stopped, whoever made it: see `replicator.audits.auditing`.

    Args:
        to_the_end: Also look at the newest records, which may be under way: the proof of drain.
        by: Who audits.
    """
    return auditing.run(audit_place.of(context, pair, by=by), to_the_end=to_the_end)


command = invocation.command("audit", audit, "Hold the stream itself against the ledger: is anything lost?")
