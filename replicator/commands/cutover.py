"""
The cutover: gate, fence, quiet, drain, consumer off, last verification, flip.

Until the flip every failure is answered by lifting the fence, before anything is reported:
the application goes on with the source as if nothing had been tried. From the moment the flip
may have happened the fence is never lifted, since both tables would take writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from ddbverify.errors import DdbVerifyError, EngineError, Refused
from ddbverify.evidence.cutover import Outcome
from ddbverify.gate import gate
from ddbverify.names import BETWEEN
from replicator.aws import fence, switch
from replicator.aws.fence import Fence
from replicator.aws.pointer import Pointer
from replicator.commands import (
    after_flip,
    closing,
    cutover_drain,
    cutover_fence,
    cutover_gate,
    cutover_hold,
    cutover_left,
    cutover_permitted,
    cutover_preflight,
    cutover_record,
    cutover_rehearsal,
    cutover_undone,
    last_verification,
    marking,
    notices,
    quiet,
    way_back,
    way_back_possible,
)
from replicator.commands.invocation import config_option, execute, json_option
from replicator.commands.last_verification import Waiting
from replicator.commands.notices import Notices, reason_of
from replicator.commands.way_back import Ahead
from replicator.context import clock, live
from replicator.context.console import Step
from replicator.context.context import Context
from replicator.context.lock import Lock
from replicator.handlers.state import now_text

CUTOVER = switch.CUTOVER
"""Fact of the migration: ``steps`` (name -> time) of the latest attempt, ``flipped`` once it is done."""


def cutover(context: Context, *, hold: bool = False, dry_run: bool = False) -> dict[str, Any]:
    """
    Move the application over, or leave everything as it was.

    Args:
        hold: Wait, before the last verification, until the operator lets it go on.
        dry_run: Go as far as the fence, and say how long writes would be refused.

    Raises:
        Refused: The gate is closed, an earlier step is missing, or another operator is at work.
        EngineError: A step failed; the fence is lifted again.
    """
    context.need_begun()
    return flip(context, cutover_left.over, "cutover", hold=hold, dry_run=dry_run)


def flip(
    context: Context,
    choose: Callable[[Context], Context],
    command: str,
    *,
    hold: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Move the application along the direction that *choose* says, for *command*; see `cutover`."""
    with notices.of(context, command, silent=dry_run) as told:
        return _flip(context, choose, command, told, hold=hold, dry_run=dry_run)


def _flip(
    context: Context,
    choose: Callable[[Context], Context],
    command: str,
    told: Notices,
    *,
    hold: bool,
    dry_run: bool,
) -> dict[str, Any]:
    direction = choose(context)
    if not dry_run and cutover_left.lift_first(direction):
        told.tell("lifted", cycle=direction.cycle)
    with cutover_left.named(direction):
        context.need_no_restart()
        pointer = cutover_preflight.check(direction)
        answers = cutover_hold.need_input() if hold else None
    with context.locked(f"replicator {command}") as lock:
        context.need_no_restart()  # one may have begun while the lease was waited for
        if direction is not (direction := choose(context)):  # another operator has flipped meanwhile
            pointer = cutover_preflight.check(direction)
        if dry_run:
            return cutover_rehearsal.rehearse(direction, pointer)
        attempt = _Attempt(direction, lock, pointer, answers, told=told)
        with cutover_undone.behind_the_flip(direction, attempt.steps):
            return attempt.run()


@dataclass(slots=True)
class _Attempt:
    context: Context
    lock: Lock
    pointer: Pointer
    answers: int | None = None  # the descriptor on which a held cutover is let go; None: it is not held
    steps: dict[str, str] = field(default_factory=dict)
    fenced_at: float = 0.0  # the server's time
    deadline: float = 0.0  # clock.seconds
    verified_by: str = ""  # folder of the last verification
    verified: gate.Decision | None = None  # what the gate said of it
    follows: bool = False  # the last verification can go on from a run before
    ahead: Ahead | None = None  # the way back, where one is to be left open
    told: Notices = notices.SILENT
    waiting: Waiting = field(init=False, repr=False)  # the last verification, before its word

    def run(self) -> dict[str, Any]:
        context, what = self.context, "back" if self.context.cycle % 2 else "over"
        before = context.whole.get(CUTOVER) or {}
        if before.get("flipped"):
            context.console.line(
                f"This migration was cut {what} at {before['steps']['flip']}: nothing to do."
            )
            self._take_up(before)
            self._moved()
            if not cutover_record.is_left(context.root, self.steps):
                self._leave_evidence("flipped")  # killed right after it, or done from another machine
            return self._answer(self.steps)
        moved = False
        if before.get("flipping"):
            with cutover_left.named(context):
                cutover_preflight.need_pointer_of(before, self.pointer, context.flips_with)
                if moved := self.pointer.is_begun():
                    # Killed between the flip and its record: the application has moved, or a part of it.
                    self.pointer.flip()
        if moved:
            self._take_up(before)
            self._record("flip", flipped=True)
            self._finish()
            context.console.line("The pointer was flipped by the run before; recorded.")
            return self._answer(self.steps)
        cutover_preflight.need_fenced_named(context)
        if before.get("fenced") or before.get("flipping"):
            behind = cutover_left.lift(context, before)
        else:
            # Rolled back, and killed before all of that was noted: the fence is lifted, nothing flipped.
            closing.not_moved(context)
            behind = fence.of(context)
        # First: the run before may have left them off, and what is refused next must not keep them so.
        cutover_drain.need_consumers_on(context)
        for pair in context.root.config.tables:
            marking.tidy(context.root, pair)
        cutover_fence.close_left_open(context, behind)
        cutover_permitted.need(context, behind, self.pointer)
        goes_back = way_back_possible.decided(context)
        judged = cutover_gate.ask(context)
        self._record("gate")
        if goes_back:
            self.ahead = way_back.arm(context, self.lock)
            self.told.tell("armed", cycle=context.cycle)
            behind = fence.of(context, self.ahead.roles)
            behind.check()
        self._approach(judged)
        cutover_gate.fly_canaries(context)
        with last_verification.waiting(self.context, follows=self.follows) as self.waiting:
            cutover_drain.approach(self.context)
            self._behind(behind)
        context.console.line("")
        context.console.line(f"Cut {what}: {self.pointer.name} points at {self.pointer.value}.")
        context.console.line(way_back.last_words(context, self.ahead))
        return self._answer(self.steps)

    def _take_up(self, before: Mapping[str, Any]) -> None:
        """What a run before has noted of a flip that was made."""
        self.steps.update(before["steps"])
        self.verified_by = before.get("verified_by") or ""
        if before.get("way_back"):
            self.ahead = way_back.found(self.context)

    # --- before the fence -----------------------------------------------------------------

    def _approach(self, judged: gate.Decision) -> None:
        """Keep the last verification short: what was written so far is looked at before the fence."""
        self.follows = last_verification.can_follow(self.context.root, judged.evidence)
        if self.follows:
            with self.context.console.step("what was written since the last run is as it should be") as step:
                last_verification.approach(self.context, step, float(self.context.config.gate.max_age))
            self._record("changes")

    # --- behind the fence -------------------------------------------------------------------

    def _behind(self, fence: Fence) -> None:
        """Everything from the fence to the flip; whatever fails, the fence is lifted first."""
        try:
            # The intent: a run after a crash knows that it has to be lifted.
            self._record("fence", fenced=True)
            scheduled = "the fence is put, and spreads while the application writes"
            with self._step("fence", scheduled if fence.lead_seconds else "the source is fenced"):
                raised = cutover_fence.put(self.context, fence)
                self.fenced_at, self.deadline = raised.since, raised.deadline
            if raised.scheduled:
                with self._step("fence-holds", "the source is fenced") as step:
                    cutover_fence.await_beginning(self.context, fence, self.fenced_at, step)
            if self.ahead is not None:
                self.ahead.watch()
            with self._step("quiet", "no write gets through the fence") as step:
                quiet.await_quiet(self.context, self.fenced_at, self._in_time, step)
            with self._step("drain", "everything under way has been applied") as step:
                self._drain(step)
            if self.context.config.cutover.before_flip:
                with self._step("before-flip", "your command agrees ([cutover] before_flip)"):
                    told = cutover_hold.document(self.context, raised, self.pointer.values)
                    cutover_hold.ask_command(self.context, told)
            if self.answers is not None:
                with self._step("hold", "held until you let it go on") as step:
                    cutover_hold.hold(self.context, self.answers, self.deadline, self._still, step)
            with self._step("consumer", "the consumer is off, nothing is in flight") as step:
                cutover_drain.consumers_off(self.context, self._in_time, self.deadline, step)
                closing.shut(self.context)
            if self.ahead is not None:
                self.ahead.fix()
            # Behind the last moment in which a consumer can have written: it sees a late write, too.
            with self._step("verification", "last verification, under the fence") as step:
                self._verify(step)
            if fence.ends:
                with self._step("fasten", "the fence stands until it is lifted"):
                    fence.fasten()
            live.note(self.context, BETWEEN, self.context.cycle)
            self._record("flip-asked", fenced=True, flipping=True)
            with self._step("flip", f"{self.pointer.name} is flipped"):
                self._flip()
        except BaseException as error:  # Ctrl-C too: a fence left up stops the application
            reason = reason_of(error)
            cutover_left.need_ours(self.context, self.lock, reason)
            if self.steps.get("flip-asked"):
                cutover_undone.need_not_moved(self.context, self.pointer, reason)
            cutover_undone.undo(
                self.context, fence, reason, steps=self.steps, told=self.told, ahead=self.ahead
            )
            self.told.tell("rolled-back", cycle=self.context.cycle, reason=reason)
            self._leave_evidence("rolled-back", reason=reason)
            # Here, since the command's own words would be that it goes on from here.
            if isinstance(error, KeyboardInterrupt):
                raise Refused(
                    f"The {self.context.flips_with} was interrupted, and rolled back.",
                    f"run `ddbverify run`, then `replicator {self.context.flips_with}` again: it starts "
                    "over, with the gate.",
                ) from error
            if isinstance(error, DdbVerifyError):  # rolled back, whatever the reason was
                raise Refused(error.message, error.hint) from error
            raise
        self._record("flip", flipped=True)
        self._finish()

    def _finish(self) -> None:
        try:
            self._moved()  # first, since the application may wait for it
        finally:
            self._leave_evidence("flipped")

    def _moved(self) -> None:
        """Behind the flip, which stands whatever becomes of this; again, it goes on where it stopped."""
        way_back.note_moved(self.context, self.ahead)
        if self.ahead is None:
            after_flip.watch(self.context)
        else:
            self.told.opened(way_back.open_(self.context, self.ahead, self.lock), self.context.cycle)

    def _drain(self, step: Step) -> None:
        cutover_drain.drain(self.context, self._in_time, self.deadline, step)

    def _still(self) -> None:
        """Whether a cutover that waits may go on."""
        self.lock.check()
        self._in_time("nobody has let it go on")

    def _verify(self, step: Step) -> None:
        self.verified_by = str(self.waiting.folder)
        self.verified = last_verification.verify(
            self.context,
            self.waiting,
            fenced_at=self.fenced_at,
            limit_seconds=max(self.deadline - clock.seconds(), 1.0),
            meanwhile=lambda: self._await_boundary(step),
        )
        if self.ahead is not None:
            self.ahead.need_still(self._in_time, step, shows=last_verification.shows_all(self.verified))
        step.result = "every check passed"

    def _await_boundary(self, step: Step) -> None:
        """The boundary of the way back passes by while the last verification reads."""
        if self.ahead is not None:
            self.ahead.await_boundary(self._in_time, step)
            self._record("boundary", fenced=True)
        step.at("ddbverify run")

    def _flip(self) -> None:
        self.lock.check()
        self._in_time("the fence was up for too long")
        self.pointer.flip()

    # --- bookkeeping --------------------------------------------------------------------------

    @contextmanager
    def _step(self, name: str, title: str) -> Iterator[Step]:
        if self.deadline:
            self._in_time(f"not reached in time: {title}")
        self.lock.check()
        with self.context.console.step(title) as step:
            yield step
        self._record(name, fenced=True, flipping="flip-asked" in self.steps)

    def _record(self, name: str, **flags: bool) -> None:
        is_news = (name in self.steps) == (name == "fence")  # that is only meant, the first time
        self.steps[name] = now_text()
        self.context.whole.put(
            CUTOVER,
            steps=self.steps,
            token=self.lock.token,
            verified_by=self.verified_by or None,
            fence=self.context.config.cutover.fence,
            way_back=True if self.ahead is not None else None,
            # What a run after a crash has to look at, whatever the settings say by then.
            pointer=dict(self.pointer.values) if "flip-asked" in self.steps else None,
            **flags,
        )
        if is_news:
            self.told.tell(name, cycle=self.context.cycle, deadline=self.deadline)

    def _in_time(self, why: str) -> None:
        if clock.seconds() > self.deadline:
            raise EngineError(
                f"The {self.context.flips_with} took longer than [cutover] fence_limit: {why}.",
                "look at `replicator status`, raise the limit if need be, run "
                f"`replicator {self.context.flips_with}` again.",
            )

    def _answer(self, steps: dict[str, str]) -> dict[str, Any]:
        return {
            "flipped": True,
            "pointer": self.pointer.name,
            "value": self.pointer.value,
            "steps": dict(steps),
            "verified_by": self.verified_by or None,
        }

    def _leave_evidence(self, outcome: Outcome, *, reason: str | None = None) -> None:
        before = self.verified_by if outcome == "flipped" and self.verified is None else ""
        judged = Path(before) if before else self.verified  # by the run before, which was killed
        cutover_record.leave(self.context.root, outcome, self.pointer, self.steps, judged, reason)


@click.command(name="cutover")
@config_option
@json_option
@click.option("--hold", is_flag=True, help="Wait under the fence, before the last verification, for a line.")
@click.option("--dry-run", is_flag=True, help="Go as far as the fence; say how long writes would be refused.")
def command(path: Path, as_json: bool, hold: bool, dry_run: bool) -> None:
    """Gate, fence, drain, verify, flip; rolled back if a step fails."""
    execute(path, as_json=as_json, run=lambda context: cutover(context, hold=hold, dry_run=dry_run))
