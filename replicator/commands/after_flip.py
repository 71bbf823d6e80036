"""
What the operator is told of the fenced source behind the flip: who still writes there.

How it is watched stands in `replicator.audits.behind_flip`.
"""

from __future__ import annotations

from typing import Any

from ddbverify.config import Pair
from ddbverify.errors import DdbVerifyError, Refused
from ddbverify.names import Fact
from ddbverify.tables.aws import translated
from ddbverify.words import number_of
from replicator.audits import behind_flip
from replicator.audits.behind_flip import Watched
from replicator.audits.behind_flip import known as known
from replicator.audits.place import COMMAND
from replicator.commands import audit_place
from replicator.context.context import Context
from replicator.handlers.state import now_text

HINT = (
    "`replicator quarantine --keys` names them. Stop what writes there (it runs as root, say), and carry the "
    "items over by hand: the target is the application's by now."
)


def begin(context: Context) -> None:
    """Let the forwarders know that from now on every write is late; again changes nothing."""
    for pair in context.config.tables:
        with translated(f"note that the application of {pair} has moved"):
            context.state(pair).put_once(Fact.MOVED, at=now_text())


def watch(context: Context) -> None:
    """Begin to watch the sources, and warn of what is wrong. The flip stands, whatever becomes of this."""
    warn = context.console.warn
    try:
        with translated("watch the source behind the flip"):
            begin(context)
            for pair in context.config.tables:
                if problem := problem_of(pair, look(context, pair)):
                    warn(f"{problem} {HINT}")
    except DdbVerifyError as error:
        warn(
            "who still writes to the source is not watched yet, `replicator audit` begins to: "
            f"{error.message}"
        )


def audited(context: Context, *, by: str = COMMAND) -> dict[str, Any]:
    """
    Read every source's stream on, and tell who writes there.

    The cutover may have been killed right behind the flip, or an earlier build has made it: so the
    forwarders are told here, too.

    Raises:
        Refused: Somebody does, or it cannot be known.
    """
    begin(context)
    watched = {pair: look(context, pair, by=by) for pair in context.config.tables}
    for pair, one in watched.items():
        written = f"{number_of(len(one.found), 'key')} written behind the flip"
        context.console.line(f"{pair}: {number_of(one.examined, 'record')} examined, {written}")
        for hashed, write in sorted(one.found.items()):
            context.console.line(f"    {hashed}  written at {write.at}")
    for pair, one in watched.items():
        if problem := problem_of(pair, one):
            raise Refused(problem, HINT)
    return {"pairs": {str(pair): as_json(one) for pair, one in watched.items()}}


def look(context: Context, pair: Pair, *, by: str = COMMAND) -> Watched:
    """Read a source's stream on, note what was written behind the flip, and keep the place."""
    return behind_flip.look(audit_place.of(context, pair, by=by), str(pair))


def problem_of(pair: Pair, watched: Watched) -> str:
    """What is wrong behind the flip, in a sentence; empty where nothing is."""
    said = []
    if watched.found:
        written = number_of(len(watched.found), "key")
        said.append(f"{written} written to the source of {pair} behind the flip, and nobody applies that")
    if watched.unread:
        why = f"its stream cannot be read whole: {watched.unread}"
        said.append(f"whether anybody else writes to the source of {pair} is not known, since {why}")
    return "; ".join(said) + "." if said else ""


def as_json(watched: Watched) -> dict[str, Any]:
    """For machines: hashes of keys, no key."""
    return {
        "examined": watched.examined,
        "late_writes": {hashed: one.at for hashed, one in sorted(watched.found.items())},
        "unread": watched.unread or None,
    }
