"""What the state table says of a cutover: of its fence, as long as that is not lifted, and of its flip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ddbverify.names import Fact
from ddbverify.words import instant_in_words


def keeps_consumer_off(facts: Mapping[str, Mapping[str, Any]], now: float) -> bool:
    """
    Whether a cutover under way has switched the consumers off, behind a fence that stands.

    The last verification is made like that. Where the fence was lifted, or has ended by itself, the
    application writes again, and a consumer that is off is a fault.
    """
    steps = (facts.get(Fact.CUTOVER) or {}).get("steps") or {}
    return "consumer" in steps and "lifted" not in steps and standing(facts, now) is not None


def moved(facts: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Say what it means that the application was moved to the target; ``None`` where it was not."""
    cut = facts.get(Fact.CUTOVER) or {}
    if not cut.get("flipped"):
        return None
    at = (cut.get("steps") or {}).get("flip")
    when = f" at {at}" if at else ""
    return (
        f"This migration was cut over{when}: the application writes to the target, and nothing follows the "
        "source any more, so the tables differ by what it has written since. There is nothing left to open "
        "(`replicator audit` watches the source, `replicator down` ends the migration)"
    )


def standing(facts: Mapping[str, Mapping[str, Any]], now: float, command: str = "cutover") -> str | None:
    """
    Say what keeps writers off the sources, and what to do; ``None`` where nothing does.

    A fence is noted before it is put up, and the note goes once it is known to be lifted. Behind the flip it
    stands for good, and is no news.

    Args:
        facts: Sort key -> attributes, of the whole migration.
        now: Seconds since the epoch.
        command: What has put it up: ``cutover``, or ``cutback``.
    """
    cut = facts.get(Fact.CUTOVER) or {}
    notes = {
        name.removeprefix(Fact.FENCE): note for name, note in facts.items() if name.startswith(Fact.FENCE)
    }
    if cut.get("flipped") or not (cut.get("fenced") or cut.get("flipping") or notes):
        return None
    ends = [float(note["until_epoch"]) for note in notes.values() if "until_epoch" in note]
    has_end = bool(ends) and len(ends) == len(notes)
    if has_end and max(ends) <= now:
        return None  # it has ended by itself, and the application writes again
    until = f"until {instant_in_words(max(ends))} at the latest" if has_end else "until it is lifted"
    begins = [float(note["begin_epoch"]) for note in notes.values() if "begin_epoch" in note]
    sources = ", ".join(sorted(notes)) or "the source"
    if begins and len(begins) == len(notes) and min(begins) >= now:
        what = f"is to fence {sources}: nobody writes there behind {instant_in_words(min(begins))}"
    else:
        what = f"has fenced {sources}: nobody writes there"
    return (
        f"A {command} {what}, {until}. If "
        f"none is under way, run `replicator {command}` again, which lifts the fence first."
    )
