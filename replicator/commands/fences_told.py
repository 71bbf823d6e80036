"""What `status` says of fences before anything else: who cannot write, who can, until when, what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ddbverify.names import Fact, table_name
from ddbverify.words import instant_in_words
from replicator.aws.fence_seen import Seen
from replicator.aws.target_seen import SeenTarget
from replicator.commands import target_closing
from replicator.context.context import Context


def of_sources(context: Context, cut: Mapping[str, Any], fences: Sequence[Seen]) -> Iterator[str]:
    """What is to be known of the fences of sources before anything else, in sentences."""
    for one in fences:
        if one.state == "unknown":
            yield f"whether {one.table} is fenced is not known: {one.why}"
    if cut.get("flipped"):
        return  # it stays up for good
    command = f"`replicator {context.flips_with}`"
    again = f"if none is under way, run {command} again: it lifts the fence first"
    off = "consumer" in (cut.get("steps") or {}) and bool(cut.get("fenced"))
    consumer = ", or `replicator resume`: nothing is applied, since its consumer is off" if off else ""
    for one in fences:
        if one.state == "up":
            yield f"{one.table} is fenced by a cutover: nobody writes to it, {_end(context, one)}; {again}"
        elif one.state == "scheduled" and one.begins is not None:
            yield (
                f"{one.table} is to be fenced by a cutover: nobody writes to it behind "
                f"{instant_in_words(one.begins)}, {_end(context, one)}; {again}"
            )
        elif one.state == "ended":
            yield (
                f"the fence of {one.table} has ended by itself, and the application writes again: "
                f"run {command} again, which starts over{consumer}"
            )
    if cut.get("fenced") and not any(one.state in ("up", "scheduled", "ended") for one in fences):
        yield f"a cutover has begun to fence the source; {again}"


def of_targets(context: Context, cut: Mapping[str, Any], seen: Sequence[SeenTarget]) -> Iterator[str]:
    """What is to be known of targets that take anybody's writes, in sentences."""
    if cut.get("flipped"):
        return  # they are the application's
    closes = f"`replicator {context.flips_with if context.cycle else 'restore'}`"
    wanted, under_way = target_closing.is_wanted(context), bool(cut.get("fenced") or cut.get("flipping"))
    for one in seen:
        if one.state == "unknown":
            yield f"whether {one.table} is closed to all but the replicator is not known: {one.why}"
        elif one.state == "changed":
            yield (
                f"somebody else has taken the fence out of the policy of {one.table}, and whoever may write "
                f"there can; {closes} puts it back"
            )
        elif one.state == "open" and under_way:
            until = "" if one.closes is None else f" until {instant_in_words(one.closes)}"
            yield (
                f"a cutover has opened {one.table}: it takes anybody's writes{until}; if none is under way, "
                f"run `replicator {context.flips_with}` again: it closes it first"
            )
        elif one.state == "open":
            until = "" if one.closes is None else f" until {instant_in_words(one.closes)}"
            yield (
                f"{one.table} takes anybody's writes{until}, since a cutover that was rolled back could not "
                f"close it; {closes} does"
            )
        elif one.state == "none" and wanted and _is_followed(context, one.table):
            yield (
                f"{one.table} takes anybody's writes; `replicator restore` closes it to all but the "
                "replicator"
            )


def row_of_target(name: str, seen: Sequence[SeenTarget]) -> Iterator[tuple[str, str]]:
    """What stands beside a pair whose target is closed; nothing where it is not."""
    for one in seen:
        if one.table == name and one.state == "closed":
            opens = (
                "" if one.opens is None else f", until a cutover opens it at {instant_in_words(one.opens)}"
            )
            yield "  target", f"closed to all but the replicator{opens}"


def _is_followed(context: Context, name: str) -> bool:
    """Whether the consumer writes to a target: until then `restore` has not come so far."""
    followed = (pair for pair in context.config.tables if table_name(pair.target) == name)
    return any(context.state(pair).get(Fact.STEP + "following") is not None for pair in followed)


def _end(context: Context, fence: Seen) -> str:
    if fence.until is not None:
        return f"until {instant_in_words(fence.until)} at the latest"
    if context.config.cutover.fence.startswith("command:"):
        return "and your fence command knows no end"
    return "until it is lifted"
