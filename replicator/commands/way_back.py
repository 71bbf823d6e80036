"""
The way back: what was the source follows what was the target, by the same code, as a pair of its own.

It is armed before a flip (`arm`): stacks of the next direction, its forwarder on, its consumer off. Under the
fence its boundary is fixed (`Ahead.fix`), a moment in which nobody wrote the table that it is to follow.
Behind the flip its consumer is switched on (`open_`), and what the one before could write with is removed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from ddbverify.code.digest import transform_digest, transforms_of
from ddbverify.config import Pair
from ddbverify.errors import DdbVerifyError, EngineError
from ddbverify.names import BETWEEN, Fact, is_ours, stack_name
from ddbverify.tables.aws import translated
from replicator.aws import fence, switch, workers
from replicator.aws.stream_tail import Tail
from replicator.backfill.plan import Plan
from replicator.commands import (
    dashboard,
    passage,
    removal,
    restore,
    scheduled_audit,
    target_closing,
    through,
    up,
    wanted,
    way_back_possible,
)
from replicator.commands.cutover_left import lifting
from replicator.commands.phases import base_stack, bind, changed_since, deployed
from replicator.commands.steps import Steps
from replicator.commands.together import MOST_STACKS
from replicator.context import live, tables
from replicator.context.console import Step
from replicator.context.context import Context
from replicator.context.lock import Lock
from replicator.handlers.records import MalformedRecord
from replicator.handlers.state import now_text
from replicator.stack import bundle, stacks

APART_SECONDS: Final = 2
"""On either side of a boundary: a record's time has whole seconds, and two regions' clocks may differ."""

_WATCHED_SECONDS: Final = 600
"""For longer a follower is not watched without a look: an iterator of a stream lasts 15 minutes."""

OPENED: Final = "opened"
"""Fact of a whole direction: ``at``. Its flip was made, and the fence of the table it moved to is lifted."""


@dataclass(slots=True)
class Ahead:
    """
    The next direction, armed.

    Args:
        context: Of that direction.
        made: Its pairs, with transforms and inverses; ``None``: they are loaded once they are asked for.
        boundary: Fixed under the fence, seconds since the epoch; nobody wrote the follower around it.
    """

    context: Context
    made: tuple[Plan, ...] | None = None
    boundary: int = 0
    _tails: list[tuple[Plan, Tail]] = field(default_factory=list)
    _still_since: int = 0  # no change of the follower that was seen is of then or later
    _off_at: int = 0  # by then the consumers were off: nobody is to write the follower

    @property
    def plans(self) -> tuple[Plan, ...]:
        """
        Its pairs.

        Raises:
            ConfigurationError: A transform or an inverse of the user's does not load.
        """
        if self.made is None:
            self.made = tuple(_plan(self.context, pair) for pair in self.context.config.tables)
        return self.made

    @property
    def roles(self) -> tuple[str, ...]:
        """ARNs of the roles that its consumers write with: the fence has to let them through."""
        found: list[str] = []
        for plan in self.plans:
            resources = self.context.resources(plan.pair)
            if workers.is_worker(self.context, plan.pair, workers.CONSUMER):
                found += workers.roles(self.context, plan.pair)
            else:
                found.append(resources["writer_role"] or resources["consumer_role"])
        return tuple(found)

    def watch(self) -> None:
        """Watch the follower from now on: behind the fence nobody writes it but the consumers."""
        client = self.context.source_client("dynamodbstreams")
        self._tails = [
            (plan, Tail(client, self.context.resources(plan.pair)["stream_arn"])) for plan in self.plans
        ]
        self._still_since = math.ceil(self.context.server_time())

    def need_readable(self) -> None:
        """
        Read the follower's stream as it is read behind the fence, where a refusal would cost refused writes.

        Raises:
            EngineError: AWS refused.
        """
        self.watch()
        self._changes()

    def fix(self) -> None:
        """
        Fix the boundary, behind what has changed in the follower since it is watched.

        To be called when the consumers are off, with nothing in flight.
        """
        self._off_at = math.ceil(self.context.server_time())
        if self._off_at - self._still_since > _WATCHED_SECONDS:
            self.watch()
        self._fix_behind(self._changes())

    def await_boundary(self, in_time: Callable[[str], None], step: Step) -> None:
        """Wait until the boundary has passed by."""
        while (left := self.boundary + APART_SECONDS - self.context.server_time()) > 0:
            in_time("the boundary of the way back is not reached")
            step.at(f"{left:.0f} s to go")
            time.sleep(min(left, self.context.pace.poll_seconds))

    def need_still(self, in_time: Callable[[str], None], step: Step, *, shows: bool) -> None:
        """
        Make sure that nobody wrote the follower around the boundary; what the consumers wrote last moves it.

        Args:
            shows: Whether all that was written before the consumers were off is known to show by now. Where
                it is not, no boundary before that moment will do.

        Raises:
            EngineError: Somebody did: what is theirs and what is the application's could not be told apart.
        """
        if not shows and self._still_since < self._off_at:
            self._fix_behind([(self.plans[0].source.name, self._off_at - 1)])
            self.await_boundary(in_time, step)
        while changes := self._changes():
            if written := [name for name, at in changes if at >= self._off_at]:
                raise EngineError(
                    f"Somebody else writes to {written[0]}: {len(written)} since the consumer is off, so "
                    "the way back cannot tell it from what the application writes there behind the flip.",
                    "find out who does, and stop it; then run the command again.",
                )
            self._fix_behind(changes)
            self.await_boundary(in_time, step)

    def _fix_behind(self, changes: Sequence[tuple[str, int]]) -> None:
        self._still_since = max([self._still_since, *(at + 1 for _, at in changes)])
        self.boundary = self._still_since + APART_SECONDS
        for plan in self.plans:
            with translated(f"note the boundary of the way back of {plan.pair}"):
                self.context.state(plan.pair).put(
                    Fact.BOUNDARY, how="cutover", backup_epoch=self.boundary, boundary_epoch=self.boundary
                )

    def _changes(self) -> list[tuple[str, int]]:
        """Table and date of each change of the follower since the last look."""
        found: list[tuple[str, int]] = []
        for plan, tail in self._tails:
            try:
                found += [
                    (plan.source.name, math.floor(one.change.created_at))
                    for one in tail.read()
                    if not is_ours(one.change.keys, plan.source.keys) and not one.by_ttl
                ]
            except MalformedRecord as error:
                raise EngineError(
                    f"The stream of {plan.source.name} could not be read: {error}", "run the command again."
                ) from error
        return found


def found(context: Context) -> Ahead:
    """The direction behind *context*'s, which was armed; no code of the user's is needed to know of it."""
    return Ahead(context.turned(context.cycle + 1))


def arm(context: Context, lock: Lock) -> Ahead:
    """
    Make everything that the next direction needs; its consumer stays off. What is there already is kept.

    Raises:
        EngineError: It could not be made; nothing of the migration was touched.
    """
    ahead = found(context)
    for text in way_back_possible.warnings(context):
        context.console.warn(text)
    through.need_laws(ahead.context, ahead.plans)
    _remove_stale(ahead)
    if context.cycle == 0:  # a canary flies in the target
        target_closing.admit(context, context.config.tables, "to try the way back")
    turned = ahead.context
    base = base_stack(turned)
    for plan in ahead.plans:
        bind(turned, plan)
    deployment = deployed(
        turned, context.flips_with, lock, base, bundle.build(transforms_of(context.root.config))
    )
    step, plans = deployment.step, ahead.plans
    for plan in plans:  # armed by an attempt before: whether it still sends changes on is shown again
        Steps(turned, plan.pair, deployment.command, lock).forget("canary")
    step("stream", plans, lambda plan: f"stream of {plan.source.name} is on", partial(up.stream, turned))
    step(
        "capture",
        plans,
        "queue and forwarder of the way back",
        partial(up.capture, deployment),
        at_once=MOST_STACKS,
    )
    step("canary", plans, passage.sent_title(turned), partial(up.canary, turned))
    step("target", plans, "ledger of the way back", partial(restore.target, turned), at_once=MOST_STACKS)
    armed = partial(restore.apply, deployment, boundary=0)  # it is off until the real one is deployed
    step("apply", plans, "consumer of the way back, off", armed, at_once=MOST_STACKS)
    if wanted.is_audited(turned):
        scheduled_audit.deploy(deployment, plans)
    ahead.need_readable()
    return ahead


def tell_armed(context: Context, ahead: Ahead | None) -> None:
    """Say what a flip that was rolled back leaves behind of the next direction."""
    if ahead is not None:
        removes = "settle" if context.cycle % 2 else "down"
        context.console.warn(
            "the next direction stays armed; what its forwarder sends waits for nobody, and rings the "
            f"queue's alarm: `replicator {context.flips_with}`, run again, goes on with it, "
            f"`replicator {removes}` removes it"
        )


def note_moved(context: Context, ahead: Ahead | None) -> None:
    """
    Note that a direction was flipped; a table that it opens is open from then on.

    Raises:
        EngineError: It could not be noted, or the fence of that table could not be lifted.
    """
    cycle = context.cycle
    try:
        found = live.read(context)
        if found.cycle == cycle and found.table in (BETWEEN, live.leading(cycle)):
            found = live.Live(live.leading(cycle + 1), cycle if ahead is None else cycle + 1)
            live.note(context, found.table, found.cycle)
        with translated("read whether the application's table is open"):
            opened = cycle == 0 or context.whole.get(OPENED) is not None
    except DdbVerifyError as error:
        raise EngineError(
            f"The application has moved, and that could not be noted: {error.message} The fence of the "
            f"{live.leading(cycle)} stays up, as it has to.",
            f"run `replicator {context.flips_with}` again now: it goes on from there.",
        ) from error
    if not opened and found.table == live.leading(cycle + 1) and found.cycle in (cycle, cycle + 1):
        with lifting("The application was moved", context.flips_with):
            fence.lift_opened(context)
        with translated("note that the fence is lifted"):
            context.whole.put(OPENED, at=now_text())


def open_(context: Context, ahead: Ahead, lock: Lock) -> bool:
    """
    Let the next direction follow, and remove what the one before it could write with.

    Behind the flip, which stands whatever becomes of this; again, it goes on where it stopped.

    Returns:
        Whether it is open.
    """
    turned, command = ahead.context, context.flips_with
    if not live.is_followed(turned):
        return False  # it was given up, or is over
    try:
        _open(context, ahead, lock)
    except DdbVerifyError as error:
        context.console.warn(
            f"the application has moved, and nothing follows it yet: {error.message} Run `replicator "
            f"{command}` again: it goes on from there."
        )
        return False
    return True


def _open(context: Context, ahead: Ahead, lock: Lock) -> None:
    turned = ahead.context
    for plan in ahead.plans:
        bind(turned, plan)  # without its inverse, items would go back as they are
    base = base_stack(turned)
    deployment = deployed(
        turned, context.flips_with, lock, base, bundle.build(transforms_of(context.root.config))
    )
    step, plans = deployment.step, ahead.plans
    step("closed", plans, "what went the other way is off", partial(_close, context))
    if context.cycle > 1 and removal.exists(before := context.turned(context.cycle - 1)):
        removal.direction(before)  # its fence is lifted by now, and nothing of it is needed any more
    step(
        "boundary", plans, "consumer of the way back", partial(restore.apply, deployment), at_once=MOST_STACKS
    )
    step("consumer", plans, passage.arrived_title(turned), partial(restore.consumer_on, turned))
    step("following", plans, "the way back is open", partial(restore.following, turned))
    dashboard.deploy(turned)  # last: the application has moved, and nobody waits for a picture


def last_words(context: Context, ahead: Ahead | None) -> str:
    """What the operator is told of a flip that was made."""
    if ahead is None:
        return "The source stays fenced and as it is; the target's TTL and alarms are yours to set."
    if context.cycle % 2:
        return "The target follows the source again. Next: ddbverify run, then replicator cutover"
    return (
        "The source stays fenced for all but the consumer of the way back, and follows the target. Its own "
        "TTL has to be off meanwhile, the target's may be on. Next: ddbverify run; `replicator cutback` goes "
        "back."
    )


def _plan(context: Context, pair: Pair) -> Plan:
    source, target = context.source_table(pair), tables.describe(context.target, pair.target)
    return Plan(
        pair=pair,
        source=source,
        target=target,
        target_arn=target.arn,
        target_account=target.account,
        transform=context.transform(pair, source.keys, target.keys),
        digest=transform_digest(context.config, pair),
        through=through.of(context, pair, source.keys, target.keys),
    )


def _remove_stale(ahead: Ahead) -> None:
    """Remove what was armed for something that is another one by now; it is armed anew."""
    turned = ahead.context
    if not turned.begun():
        return
    for plan in ahead.plans:
        if why := _why_stale(turned, plan):
            turned.console.warn(f"{why}: armed anew")
            removal.direction(turned)
            return


def _why_stale(turned: Context, plan: Plan) -> str:
    """Why what was armed for a pair cannot be used, in words; empty where it can."""
    if plan.through is not None and changed_since(turned, plan):
        return f"the inverse for {plan.pair} is another one by now"
    if turned.state(plan.pair).get(Fact.GAP) is not None:  # of before the flip, and nothing would clear it
        return f"what was armed for {plan.pair} has met a gap"
    bound = turned.resources(plan.pair).get("stream_arn")
    if bound is not None and bound != plan.source.stream_arn:  # a restart made the table anew, say
        return f"the stream of {plan.source.name} is another one by now"
    return ""


def _close(context: Context, plan: Plan, step: Step) -> dict[str, Any]:
    """
    End what the direction before could do: its forwarder sends nothing more, its consumer's role is gone.

    Its queue holds what was sent since its consumer was off; nobody is to take it.
    """
    pair = next(one for one in context.config.tables if one.source == plan.pair.target)
    with translated(f"switch the forwarder of {pair} off"):
        switch.switch_part(context, pair, "forwarder", on=False)
    name = stack_name(context.config.name, "apply", pair.id)
    stacks.delete(context.source_client("cloudformation"), name, progress=step.at)
    return {}
