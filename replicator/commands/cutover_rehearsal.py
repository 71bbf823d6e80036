"""
A cutover up to its fence, and how long writes would be refused behind it: nothing is fenced or switched.

Each part is measured now, or by the last run, or is what the settings say; what is assumed is named so, and
what cannot be known is said to be unknown and in no sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ddbverify.errors import Refused
from ddbverify.evidence import links
from ddbverify.words import begins_anew, duration_in_words, number_of
from replicator.aws import fence, switch
from replicator.aws.fence import Fence
from replicator.aws.pointer import Pointer
from replicator.commands import (
    audit,
    cutover_gate,
    cutover_permitted,
    cutover_preflight,
    last_verification,
    marking,
    quiet,
    way_back,
    way_back_possible,
)
from replicator.context import clock
from replicator.context.context import Context

if TYPE_CHECKING:
    from ddbverify.evidence.evidence import Evidence

CONSUMER_OFF_SECONDS: Final = 30.0
"""Assumed on AWS: what Lambda takes until an event source mapping is off."""

_LOADED: Final = "what that has loaded is loaded before the fence"

FASTEN_SECONDS: Final = 15.0
"""Assumed on AWS: what it takes until reads show a policy that was changed (docs/aws.md T25)."""


@dataclass(frozen=True, slots=True)
class Part:
    """
    A part of the time in which writes would be refused.

    Args:
        seconds: ``None``: nobody knows.
        how: Where the number is from, in words.
    """

    name: str
    seconds: float | None
    how: str


def rehearse(context: Context, pointer: Pointer) -> dict[str, Any]:
    """
    Do what a cutover does before its fence, and say what would come behind it.

    Raises:
        Refused: The cutover would be, with the same reason; or one was made, or was interrupted.
    """
    _need_none_before(context)
    if way_back_possible.decided(context):
        for text in way_back_possible.warnings(context):
            context.console.warn(text)
    put = fence.of(context)
    put.check()
    for pair in context.config.tables:
        if not switch.consumer_is_on(context, pair):
            raise Refused(f"The consumer of {pair} is off.", "run `replicator resume`, then rehearse again.")
    evidence = cutover_gate.ask(context).evidence
    canary_seconds = _measured(lambda: cutover_gate.fly_canaries(context))
    _audit(context)
    audit_seconds = _measured(lambda: _audit(context))  # a cutover has made one before its fence, too
    unchecked = _unchecked(context, put, pointer)
    parts = list(_parts(context, put, evidence, canary_seconds, audit_seconds))
    return _told(context, put, parts, unchecked)


def _need_none_before(context: Context) -> None:
    before = context.whole.get(switch.CUTOVER) or {}
    if before.get("flipped"):
        raise Refused("This migration was cut over already.", "see `replicator status`.")
    if before.get("fenced") or before.get("flipping"):
        raise Refused(
            "An earlier cutover was interrupted, and its fence may stand.",
            "run `replicator cutover`, without --dry-run: it lifts that fence first.",
        )
    cutover_preflight.need_fenced_named(context)


def _unchecked(context: Context, put: Fence, pointer: Pointer) -> list[str]:
    """What is not known of the permissions that are needed behind the fence; what lacks is refused."""
    if not cutover_permitted.is_known(context):
        return ["permissions: an emulator has none"]
    unknown = cutover_permitted.changes(context, put, pointer)
    if way_back_possible.wanted(context):
        unknown += cutover_permitted.followers_streams(context)
    return [*unknown, "lambda:UpdateEventSourceMapping: asking would switch the consumer"]


def _measured(action: Callable[[], None]) -> float:
    began = clock.seconds()
    action()
    return clock.seconds() - began


def _audit(context: Context) -> None:
    with context.console.step("an audit finds nothing lost") as step:
        examined = 0
        for pair in context.config.tables:
            found = audit.run(context, pair)
            examined += found.examined
            if found.gap:
                raise Refused(found.gap, f"{begins_anew(context.cycle)}.")
            if found.lost:
                raise Refused(
                    f"{number_of(len(found.lost), 'change')} of {pair} never applied.",
                    audit.lost_hint(context),
                )
        step.result = f"{number_of(examined, 'record')} examined"


def _parts(
    context: Context, put: Fence, evidence: Evidence | None, canary_seconds: float, audit_seconds: float
) -> Iterator[Part]:
    settings, poll = context.config.cutover, context.pace.poll_seconds
    if not put.lead_seconds:
        yield Part("fence", None, "nobody knows when your command's fence holds")
    how = "[cutover] quiet, a second, since AWS tells whole ones, and a look"
    yield Part("quiet", quiet.forecast_seconds(context), how)
    if context.config.replicated.canary:
        way = "the canary's way through the present backlog"
        how = f"{way}, and two audits of what is left behind another"
        yield Part("drain", canary_seconds + 2 * audit_seconds + poll, how)
    else:
        yield Part("drain", None, "no canary flies, so how long the present backlog takes is not known")
    if settings.before_flip:
        yield Part("before_flip", None, "nobody knows how long your command takes")
    off = 0.0 if context.emulator else CONSUMER_OFF_SECONDS
    yield Part("consumer", off, "assumed, until the consumer's mapping is off")
    verification = _verification(context, evidence)
    yield verification
    if way_back_possible.wanted(context):
        left = max(0.0, 2.0 * way_back.APART_SECONDS + poll - (verification.seconds or 0.0))
        how = "of the way back, at most: what the verification leaves of 4 s, and a look"
        yield Part("boundary", left, how)
    if put.ends:
        fasten = 0.0 if context.emulator else FASTEN_SECONDS
        yield Part("fasten", fasten, "assumed, until reads show the lasting fence")


def _verification(context: Context, evidence: Evidence | None) -> Part:
    if evidence is None:
        return Part("verification", None, "the run that opens the gate has left no evidence")
    took = evidence.ended_epoch - evidence.started_epoch
    if not last_verification.can_follow(context.root, evidence):
        return Part("verification", took, f"at most as long as the last run, a full one; {_LOADED}")
    # Nobody writes to a fenced source: its stream's end is proven by markers, or waited for.
    if not marking.why_not(context):
        took, ends = took + marking.SETTLED_SECONDS, "the markers that prove the streams' ends (assumed)"
    else:
        took, ends = took + context.config.cutover.stream_lag, "[cutover] stream_lag"
    if links.is_link(evidence):
        how = (
            f"at most as long as the last run, which looked at what was written since, and {ends}; {_LOADED}"
        )
    else:
        how = (
            f"at most as long as the last run, a full one, and {ends}; {_LOADED}; "
            "`ddbverify run --since latest`, run before this, tells it better"
        )
    return Part("verification", took, how)


def _told(context: Context, put: Fence, parts: list[Part], unchecked: list[str]) -> dict[str, Any]:
    refused = sum(part.seconds for part in parts if part.seconds is not None)
    unknown = [part.name for part in parts if part.seconds is None]
    limit, console = context.config.cutover.fence_limit, context.console
    fits = refused + (context.pace.fence_margin if put.ends else 0.0) <= limit
    console.line("")
    if put.lead_seconds:
        lead = duration_in_words(put.lead_seconds)
        console.line(f"The fence would be put {lead} before it begins; the application writes meanwhile.")
    about = f"about {duration_in_words(refused)}"
    about += f", and for what is not known ({', '.join(unknown)})" if unknown else ""
    console.line(f"Then writes would be refused for {about}:")
    for part in parts:
        seconds = "not known" if part.seconds is None else duration_in_words(part.seconds)
        console.line(f"  {part.name:<14}{seconds:<12}{part.how}")
    for one in unchecked:
        console.line(f"  · not checked: {one}")
    if not fits:
        console.warn(f"that is more than [cutover] fence_limit of {duration_in_words(limit)} leaves time for")
    console.line("Nothing was fenced, switched or flipped.")
    return {
        "dry_run": True,
        "flipped": False,
        "lead_seconds": put.lead_seconds,
        "refused_seconds": round(refused, 1),
        "parts": {
            part.name: {
                "seconds": None if part.seconds is None else round(part.seconds, 1),
                "how": part.how,
            }
            for part in parts
        },
        "unknown": unknown,
        "unchecked": unchecked,
        "fence_limit_seconds": limit,
        "fits": fits,
    }
