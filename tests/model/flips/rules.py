"""
The rules of flips and of the way back, each with the plain variant that does without it.

As in `tests.model.rules`: a variant replaces the real piece for the length of a test, the model has to find a
history in which it breaks a promise, and `tests/model/flips/counterexamples.py` keeps one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from ddbverify.changes import following
from ddbverify.changes.places import Place
from ddbverify.changes.shards import Gap
from ddbverify.changes.wire import StreamWire
from ddbverify.compare.judge import Judge
from replicator.aws import stream_tail
from replicator.aws.policy_fence import PolicyFence
from replicator.commands import closing, cutover_drain, cutover_left, quiet, way_back
from replicator.context import live
from replicator.context.console import Step
from replicator.context.context import Context
from replicator.context.lock import Lock
from replicator.handlers import applier, forwarder, inverse_ledger, inverting
from replicator.handlers.inverting import Intended, Present
from replicator.handlers.ledger import Write
from replicator.handlers.records import is_by_ttl
from tests.model.flips.account import Database, Stacks
from tests.model.flips.machine import FlipModel
from tests.model.flips.verifier import Verifier
from tests.model.rules import Rule

Patch = pytest.MonkeyPatch


class OverAndBack(FlipModel):
    """The moves of the application and of what follows it, between flips that come to their ends."""

    operators = ("one",)
    commands = ("cutover", "cutover", "cutback")
    kinds = ("put", "put", "put", "gone", "gone", "hidden")
    lags = (0.0,)
    ttl_records = (True,)
    steps = 8
    strange = start = go_on = finish = reshard = forward = receive = go_on_working = wait = flow = None
    expire = day = None


class Hidden(OverAndBack):
    """Those of them that write where the transform has left an item out."""

    shapes = ("inverse",)
    keys = ("b",)
    hiddens = (True,)


class OneKey(OverAndBack):
    """Those of them that write one item again and again."""

    keys = ("b",)
    kinds = ("put",)


class ThroughTheInverse(OverAndBack):
    """Those of them whose items go back through an inverse."""

    shapes = ("inverse",)
    keys = ("a", "b")


class Closing(ThroughTheInverse):
    """Those in which the application writes until the fence holds: that is request 96 of a command."""

    commands = ("cutover",)
    stops = ("sleep",)
    mores = (0, 96)
    skews = (0.9,)
    keys = ("c",)
    kinds = ("put",)
    written = ("source",)
    stages = ("following",)
    steps = 3
    start, run = FlipModel.start, None


class Slow(Closing):
    """Those of them in which a consumer's call has not ended by then."""

    steps = 9
    forward, receive, start, run = FlipModel.forward, FlipModel.receive, None, FlipModel.run


class Arming(ThroughTheInverse):
    """Those of them in which the application goes on writing while the way back is armed."""

    commands = ("cutover",)
    stops = ("put_resource_policy",)
    mores = (0, 1)
    steps = 6
    start, finish, run = FlipModel.start, FlipModel.finish, None


class Strange(FlipModel):
    """Those behind a flip that died: somebody writes whom no fence keeps off, a consumer is switched on."""

    shapes = ("plain",)
    keys = ("a",)
    kinds = ("put",)
    sides = ("source",)
    written = ("target",)
    stages = ("flipped",)
    commands = ("resume",)
    lags = (0.0,)
    ttl_records = (True,)
    steps = 8
    reshard = forward = receive = go_on_working = wait = start = go_on = finish = expire = day = None


class Late(Strange):
    """Those of them in which Lambda starts calls late."""

    lates = (True,)
    receive, run = FlipModel.receive, None


class Verified(OverAndBack):
    """Those of flips, and of somebody who writes to the follower."""

    shapes = ("plain",)
    keys = ("a", "c")
    commands = ("cutover",)
    written = ("source",)
    sides = ("target",)
    strange = FlipModel.strange


class NoStranger(FlipModel):
    """All but those of somebody whom no fence keeps off."""

    strange = None


class TwoOperators(FlipModel):
    """Those of two operators, one of whose machines sleeps."""

    shapes = ("plain",)
    keys = ("a",)
    kinds = ("put",)
    lags = (0.0,)
    ttl_records = (True,)
    steps = 8
    commands = ("cutover",)
    strange = reshard = forward = receive = go_on_working = flow = expire = day = None


class Waiting(OverAndBack):
    """Those of them in which time passes behind a flip."""

    commands = ("cutover",)
    wait = FlipModel.wait


class ReadableLate(Verified):
    """Those of them whose records are readable late, also under the fence."""

    lags = (0.0, 30.0, 45.0)


class Trimmed(Verified):
    """Those of them in which days pass."""

    day = FlipModel.day


class Expiring(OverAndBack):
    """Those of items that time to live removes from the table that leads."""

    shapes = ("plain",)
    keys = ("a",)
    kinds = ("mortal",)
    commands = ("cutover",)
    dying = ("source",)
    wait, expire = FlipModel.wait, FlipModel.expire


class ExpiringMeanwhile(Expiring):
    """Those of items that it removes from the follower, while a cutover is under way."""

    dying = ("target",)
    written = ("source",)
    stops = ("put_item:boundary",)
    mores = (0, 1)
    waits = (1.0,)
    start, finish, run = FlipModel.start, FlipModel.finish, None


class ExpiringSilently(ExpiringMeanwhile):
    """Those of them in which that leaves no record."""

    ttl_records = (False,)


# --- which consumer may write -----------------------------------------------------------------


def whoever_asks_is_switched_on(patch: Patch) -> None:
    """A consumer is switched on without asking which table is the application's."""
    patch.setattr(live, "need_followed", lambda _: None)
    patch.setattr(live, "is_followed", lambda _: True)


def not_shut(patch: Patch) -> None:
    """A consumer's mapping is off behind a flip, and nothing else keeps its calls from writing."""
    patch.setattr(closing, "shut", lambda _: None)


def a_role_stays(patch: Patch) -> None:
    """What a direction that is over could write with stays, and so does its consumer."""
    delete = Stacks.delete

    def kept(self: Stacks, name: str) -> bool:
        return True if name.endswith("-apply") else delete(self, name)

    patch.setattr(Stacks, "delete", kept)


def noted_behind_the_flip(patch: Patch) -> None:
    """Which table is live is noted once the flip was made."""
    note = live.note

    def noted(context: Context, table: str, cycle: int) -> None:
        if table != live.BETWEEN:
            note(context, table, cycle)

    patch.setattr(live, "note", noted)


# --- what the next direction applies ----------------------------------------------------------


def applies_what_the_other_side_wrote(patch: Patch) -> None:
    """What the direction before has written is applied like all else."""
    patch.setattr(applier.Applier, "_before_the_boundary", lambda *_: set())
    call = applier.Applier.__call__

    def without(self: applier.Applier, batch: Sequence[Any]) -> set[str]:
        self.boundary = 0
        return call(self, batch)

    patch.setattr(applier.Applier, "__call__", without)


def boundary_without_margin(patch: Patch) -> None:
    """The boundary is the moment in which the consumers are off."""
    patch.setattr(way_back, "APART_SECONDS", 0)


def boundary_before_the_fence(patch: Patch) -> None:
    """The boundary is fixed when the way back is armed."""
    arm, watch, fix = way_back.arm, way_back.Ahead.watch, way_back.Ahead.fix

    def armed(context: Context, lock: Lock) -> way_back.Ahead:
        ahead = arm(context, lock)
        watch(ahead)
        fix(ahead)
        return ahead

    patch.setattr(way_back, "arm", armed)
    for name in ("watch", "fix", "await_boundary", "need_still"):
        patch.setattr(way_back.Ahead, name, lambda *_, **__: None)


def boundary_wherever_it_is_quiet(patch: Patch) -> None:
    """The boundary is fixed as the quiet begins, whatever the consumers still write to the follower."""
    patch.setattr(way_back.Ahead, "_changes", lambda _: [])


def one_ledger(patch: Patch) -> None:
    """All directions have one ledger."""
    patch.setattr(Stacks, "ledger_of", lambda self, _: "replicator-ledger")
    forget = Stacks.forget

    def kept(self: Stacks, table: str) -> None:
        if table != "replicator-ledger":
            forget(self, table)

    patch.setattr(Stacks, "forget", kept)
    patch.setattr(Database, "check_numbers", lambda *_: None)  # they go down, with or without harm


# --- through an inverse -----------------------------------------------------------------------


def an_insert_is_a_change(patch: Patch) -> None:
    """What came anew gets what the follower holds under its key, like all else."""
    intended = inverting.intended

    def with_before(write: Write, *others: Any) -> Any:
        return intended(replace(write, anew=False), *others)

    patch.setattr(inverse_ledger, "intended", with_before)


def whatever_is_there(patch: Patch) -> None:
    """An item that the transform leaves out is replaced and deleted like others."""
    intended = inverting.intended

    def over(write: Write, present: Present, transform: Any, inverse: Any) -> Any:
        if present.item is None or transform(present.item):
            return intended(write, present, transform, inverse)
        return intended(write, replace(present, item=None), transform, inverse)

    patch.setattr(inverse_ledger, "intended", over)


def the_law_is_not_asked(patch: Patch) -> None:
    """What the inverse makes is written, whatever the transform makes of it."""
    intended = inverting.intended

    def unasked(write: Write, present: Present, transform: Any, inverse: Any) -> Any:
        found = intended(write, present, transform, inverse)
        if isinstance(found, str) and write.results and (present.item is None or transform(present.item)):
            return Intended(inverse(write.results[0], None if write.anew else present.item))
        return found

    patch.setattr(inverse_ledger, "intended", unasked)


# --- fences and the lease ---------------------------------------------------------------------


def takes_back_whatever_happened(patch: Patch) -> None:
    """A cutover that failed lifts its fence, whoever has the migration by then."""
    patch.setattr(cutover_left, "need_ours", lambda *_: None)
    patch.setattr(Lock, "check", lambda self: None)
    patch.setattr(Context, "_need_lease", lambda self, **_: None)


def it_may_end_by_itself(patch: Patch) -> None:
    """A fence ends by itself, behind a flip, too."""
    patch.setattr(PolicyFence, "fasten", lambda self: None)


def drained_before_the_quiet(patch: Patch) -> None:
    """What is under way is waited for while the fence is being proven, and not behind that."""
    drain, await_quiet = cutover_drain.drain, quiet.await_quiet

    def first(context: Context, fenced_at: float, in_time: cutover_drain.InTime, step: Step) -> None:
        drain(context, in_time, math.inf, step)
        await_quiet(context, fenced_at, in_time, step)

    patch.setattr(quiet, "await_quiet", first)
    patch.setattr(cutover_drain, "drain", lambda *_: None)


# --- the verifier -----------------------------------------------------------------------------


def one_stream(patch: Patch) -> None:
    """A link looks at what has changed in the source only."""
    wires = Verifier.wires

    def first(self: Verifier) -> list[Any]:
        return wires(self)[:1]

    patch.setattr(Verifier, "wires", first)


def silence_is_an_end(patch: Patch) -> None:
    """A shard has ended where a page is empty, although markers are written."""
    patch.setattr(following, "MARKER_PATIENCE_SECONDS", 0.0)


def as_old_as_it_may_be(patch: Patch) -> None:
    """A place counts however old it is: what the stream has, behind it, is what has changed."""
    patch.setattr(following, "LONGEST_SECONDS", math.inf)
    _what_is_left(patch)


def from_what_is_left(patch: Patch) -> None:
    """From a place that the stream has forgotten a link goes on with what is left."""
    _what_is_left(patch)


def _what_is_left(patch: Patch) -> None:
    iterator = StreamWire.iterator

    def left(self: StreamWire, shard_id: str, place: Place | None) -> str:
        try:
            return iterator(self, shard_id, place)
        except Gap:
            return iterator(self, shard_id, None)

    patch.setattr(StreamWire, "iterator", left)
    patch.setattr(following, "need_no_gap", lambda *_: None)


# --- time to live -----------------------------------------------------------------------------


def an_item_past_its_time_differs(patch: Patch) -> None:
    """An item that stands in one table only is a difference, also where it is past its time."""
    patch.setattr(Judge, "_is_past_its_ttl", lambda *_: False)


def expiry_is_not_replicated(patch: Patch) -> None:
    """What time to live has removed is not sent on."""
    decode = forwarder._decode

    def without(record: Mapping[str, Any], settings: Any, latch_gap: Any) -> Any:
        return None if is_by_ttl(record) else decode(record, settings, latch_gap)

    patch.setattr(forwarder, "_decode", without)


def whoever_removes_is_somebody(patch: Patch) -> None:
    """What time to live removes around the boundary is somebody's write."""
    patch.setattr(stream_tail, "is_by_ttl", lambda _: False)


RULES: dict[str, Rule] = {
    "every switch-on asks which table is live": Rule(whoever_asks_is_switched_on, Strange),
    "a consumer is shut before the flip": Rule(not_shut, Late),
    "what the other side wrote is dropped": Rule(applies_what_the_other_side_wrote, ThroughTheInverse),
    "a boundary has a margin": Rule(boundary_without_margin, Closing),
    "the boundary is fixed under the fence": Rule(boundary_before_the_fence, Arming),
    "the boundary is behind the follower's last change": Rule(boundary_wherever_it_is_quiet, Slow),
    "each direction has its own ledger": Rule(one_ledger, OneKey),
    "what came anew has no before": Rule(an_insert_is_a_change, ThroughTheInverse),
    "what the transform leaves out is nobody's": Rule(whatever_is_there, Hidden),
    "the first law is asked of each item": Rule(the_law_is_not_asked, ThroughTheInverse),
    "who has lost the lease takes nothing back": Rule(takes_back_whatever_happened, TwoOperators),
    "a fence is fastened before the flip": Rule(it_may_end_by_itself, Waiting),
    "a link reads the streams of both tables": Rule(one_stream, Verified),
    "ends are proven by markers": Rule(silence_is_an_end, ReadableLate),
    "a place that is too old is a gap": Rule(as_old_as_it_may_be, Trimmed),
    "what is past its time may stand alone": Rule(an_item_past_its_time_differs, ExpiringSilently),
    "what time to live removes is replicated": Rule(expiry_is_not_replicated, Expiring),
    "time to live is nobody who writes": Rule(whoever_removes_is_somebody, ExpiringMeanwhile),
}

NOT_NEEDED: dict[str, Rule] = {
    "an old role loses its permission": Rule(a_role_stays, NoStranger),
    "between is noted before the flip": Rule(noted_behind_the_flip, NoStranger),
    "a place that was forgotten is a gap": Rule(from_what_is_left, Trimmed),
    "the drain that counts is behind the quiet": Rule(drained_before_the_quiet, FlipModel),
}
"""Implied by others: see docs/design.md."""

__all__ = ["NOT_NEEDED", "RULES"]
