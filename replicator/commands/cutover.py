"""
The cutover: gate, fence, quiet, drain, last verification, consumer off, flip.

Until the flip every failure is answered by lifting the fence, before anything is reported:
the application goes on with the source as if nothing had been tried. From the moment the flip
may have happened the fence is never lifted, since both tables would take writes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ddbverify.config import Pair
from ddbverify.errors import ConfigurationError, DdbVerifyError, EngineError, NotFoundError, Refused
from ddbverify.evidence import cutover as cutover_evidence
from ddbverify.evidence.cutover import CutoverEvidence, Outcome
from ddbverify.gate import gate
from ddbverify.names import Fact, canary_key, table_name
from ddbverify.tables import aws
from ddbverify.tables.aws import translated
from ddbverify.words import number_of
from replicator.aws import canary, queue, switch
from replicator.aws.fence import CommandFence, Fence, PolicyFence
from replicator.aws.stream import StreamReader, Trimmed
from replicator.commands import audit, invocation, repair
from replicator.context import clock, tables
from replicator.context.console import Step
from replicator.context.context import Context
from replicator.context.lock import Lock
from replicator.handlers.state import now_text

CUTOVER = switch.CUTOVER
"""Fact of the migration: ``steps`` (name -> time) of the latest attempt, ``flipped`` once it is done."""

LEAST_QUIET_SECONDS = 60.0

_FENCED_BY_SECONDS = 30.0
"""By then a fence holds for everybody: who still writes is not stopped by it."""

_ENDING_SECONDS = 30.0  # that a verification has which took too long; it ends its own child in ten


def cutover(context: Context) -> dict[str, Any]:
    """
    Move the application over, or leave everything as it was.

    Raises:
        Refused: The gate is closed, an earlier step is missing, or another operator is at work.
        EngineError: A step failed; the fence is lifted again.
    """
    context.need_begun()
    context.need_no_restart()
    pointer = _check(context)
    with context.locked("replicator cutover") as lock:
        attempt = _Attempt(context, lock, pointer)
        return attempt.run()


@dataclass(slots=True)
class _Attempt:
    context: Context
    lock: Lock
    pointer: str
    steps: dict[str, str] = field(default_factory=dict)
    fenced_at: float = 0.0  # the server's time
    deadline: float = 0.0  # clock.seconds
    verified_by: str = ""  # folder of the last verification
    verified: gate.Decision | None = None  # what the gate said of it

    def run(self) -> dict[str, Any]:
        context = self.context
        before = context.whole.get(CUTOVER) or {}
        if before.get("flipped"):
            context.console.line(f"This migration was cut over at {before['steps']['flip']}: nothing to do.")
            self.verified_by = before.get("verified_by") or ""
            self.steps = dict(before["steps"])
            if cutover_evidence.latest_outcome(context.config) != "flipped":
                self._leave_evidence("flipped")  # killed right after it, or done from another machine
            return self._answer(self.steps)
        if before.get("flipping") and self._points_at_target():
            # Killed between the flip and its record: the application has moved already.
            self.steps = dict(before["steps"])
            self.verified_by = before.get("verified_by") or ""
            self._record("flip", flipped=True)
            self._leave_evidence("flipped")
            context.console.line("The pointer was flipped by the run before; recorded.")
            return self._answer(self.steps)
        if before.get("fenced"):
            context.console.warn("an earlier cutover was interrupted: its fence is lifted first")
            with _lifting("An earlier cutover was interrupted"):
                fence = self._fence()
                fence.lift()
            context.whole.put(CUTOVER, steps={"lifted": now_text()})
        else:
            fence = self._fence()
        switch.need_running(context)
        for pair in context.config.tables:
            if not switch.on_again(context, pair):
                raise switch.paused(pair)
        self._ask_gate()
        self._fly_canaries()
        self._behind(fence)
        context.console.line("")
        context.console.line(f"Cut over: {self.pointer} points at {self._target_value()}.")
        context.console.line(
            "The source stays fenced and as it is; the target's TTL and alarms are yours to set."
        )
        return self._answer(self.steps)

    # --- before the fence -----------------------------------------------------------------

    def _fly_canaries(self) -> None:
        with self.context.console.step("a canary has come all the way") as step:
            for pair in self.context.config.tables:
                source = self.context.source_table(pair)
                canary.await_arrived(self.context, source, self.context.state(pair), step)

    def _ask_gate(self) -> None:
        with self.context.console.step("the gate is open"):
            decision = gate.judge(self.context.config, None)
            if not decision.open:
                reasons = "".join(f"\n  - {reason}" for reason in decision.reasons)
                raise Refused(
                    f"The gate is closed, so nothing was touched:{reasons}",
                    "mend what it names, then `ddbverify run`, then `replicator cutover` again.",
                )
        self._record("gate")

    # --- behind the fence -------------------------------------------------------------------

    def _behind(self, fence: Fence) -> None:
        """Everything from the fence to the flip; whatever fails, the fence is lifted first."""
        self._record("fence", fenced=True)  # the intent: a run after a crash knows that it has to be lifted
        try:
            with self._step("fence", "the source is fenced"):
                fence.raise_()
                self.fenced_at = self.context.server_time()
                self.deadline = clock.seconds() + self.context.config.cutover.fence_limit
            with self._step("quiet", "no write gets through the fence") as step:
                self._quiet(step)
            with self._step("drain", "everything under way has been applied") as step:
                self._drain(step)
            with self._step("verification", "last verification, under the fence") as step:
                self._verify(step)
            with self._step("consumer", "the consumer is off, nothing is in flight") as step:
                for pair in self.context.config.tables:
                    switch.set_consumer(self.context, pair, on=False)
                    queue.await_empty_queue(self.context, pair, step, deadline=self.deadline)
            self._record("flip-asked", flipping=True)
            with self._step("flip", f"{self.pointer} is flipped"):
                self._flip()
        except BaseException as error:  # Ctrl-C too: a fence left up stops the application
            reason = _words(error)
            self._need_ours(reason)
            if self.steps.get("flip-asked") and not self._surely_not_flipped():
                raise EngineError(
                    "The flip was asked for, and it is not known whether it happened; the fence stays up.",
                    f"look at the parameter {self.pointer}, then run `replicator cutover` again: it decides.",
                ) from error
            self._undo(fence, reason)
            self._leave_evidence("rolled-back", reason=reason)
            # Here, since the command's own words would be that it goes on from here.
            if isinstance(error, KeyboardInterrupt):
                raise Refused(
                    "The cutover was interrupted, and rolled back.",
                    "run `ddbverify run`, then `replicator cutover` again: it starts over, with the gate.",
                ) from error
            if isinstance(error, DdbVerifyError):  # rolled back, whatever the reason was
                raise Refused(error.message, error.hint) from error
            raise
        self._record("flip", flipped=True)
        self._leave_evidence("flipped")

    def _need_ours(self, reason: str) -> None:
        """
        Make sure that this is still the cutover under way, before anything of it is taken back.

        Raises:
            Refused: This machine slept, or had no network, until another operator took over: it may have
                moved the application by now, and lifting its fence would let both tables take writes.
            EngineError: It cannot be made sure of.
        """
        if self.lock.lasts():
            return
        began = self.lock.token
        with _lifting(f"The cutover failed ({reason})"), translated("take the migration's lease again"):
            ours = self.lock.regain() and (self.context.whole.get(CUTOVER) or {}).get("token") == began
        if not ours:
            raise Refused(
                "This cutover stood still until its lease ended, and another operator has taken over; "
                "it left fence and pointer as they are.",
                "see `replicator status`: if it says that the fence is up, run `replicator cutover` again: "
                "it is lifted first.",
            )

    def _undo(self, fence: Fence, reason: str) -> None:
        """Lift the fence, and say so; what fails after that is told, and hides neither it nor *reason*."""
        with _lifting(f"The cutover failed ({reason})"):
            fence.lift()
        warn = self.context.console.warn
        warn("the fence is lifted: the application goes on with the source")
        try:  # at once: whoever finds it recorded as up would lift it again, or refuse to go on
            with translated("record that the fence is lifted"):
                self.context.whole.put(CUTOVER, steps={**self.steps, "lifted": now_text()})
        except DdbVerifyError as error:
            warn(f"`replicator status` calls it up until the next `replicator cutover`: {error.message}")
        for pair in self.context.config.tables:
            try:
                with translated(f"switch the consumer of {pair} on"):
                    switch.on_again(self.context, pair)
            except DdbVerifyError as error:
                warn(
                    f"the consumer of {pair} may be off, `replicator resume` switches it on: {error.message}"
                )

    def _quiet(self, step: Step) -> None:
        """Watch the streams until nothing but canaries and TTL came for the quiet time."""
        context, quiet = self.context, self.context.config.cutover.quiet
        readers = []
        for pair in context.config.tables:
            kept = (context.state(pair).get(audit.PLACES) or {}).get("places", {})
            stream_arn = context.resources(pair)["stream_arn"]
            reader = StreamReader(
                context.source_client("dynamodbstreams"),
                stream_arn,
                dict(kept),
                forgotten_was_read=True,  # only what comes after the fence matters here
            )
            readers.append((reader, canary_key(context.source_table(pair).keys)))
        foreign, warned = 0, False
        quiet_since = self.fenced_at
        try:
            for reader, _ in readers:
                reader.skip(self.fenced_at)
            while context.server_time() - quiet_since < quiet:
                seen = sum(
                    1
                    for reader, marker in readers
                    for record in reader.read()
                    if record.change.keys != marker and not record.by_ttl
                )
                if seen:
                    foreign += seen
                    quiet_since = context.server_time()
                self._in_time("writes still reach the source: the fence does not hold, or is slow to")
                to_go = f"{quiet - (context.server_time() - quiet_since):.0f} s to go"
                still_written = quiet_since - self.fenced_at > _FENCED_BY_SECONDS
                step.at(f"{to_go}; {_came_through(foreign)}" if still_written else to_go)
                if still_written and not warned:
                    context.console.warn(_came_through(foreign))
                    warned = True
                time.sleep(context.pace.poll_seconds)
        except Trimmed as error:
            raise EngineError(
                f"The stream could not be watched: {error}", "begin anew with `replicator restart`."
            ) from error
        step.result = f"quiet for {quiet:.0f} s" + (f", after {foreign} late writes" if foreign else "")

    def _drain(self, step: Step) -> None:
        examined = 0
        for pair in self.context.config.tables:
            clean = 0
            while clean < 2:
                self._in_time(f"the pipeline of {pair} is not drained")
                queue.await_empty_queue(self.context, pair, step, deadline=self.deadline)
                url = self.context.resources(pair)["dead_letter_url"]
                if queue.dead_letters(self.context, url) or self.context.state(pair).quarantined():
                    repaired = repair.run(self.context, pair)
                    if repaired.left:
                        raise EngineError(
                            f"{number_of(len(repaired.left), 'key')} left in quarantine: {repaired.left[0]}",
                            "see `replicator quarantine`, mend the items in the source, then run it again.",
                        )
                found = audit.run(self.context, pair, to_the_end=True)
                examined += found.examined
                if found.gap:
                    raise EngineError(found.gap, "begin anew with `replicator restart`.")
                if found.lost:
                    raise EngineError(
                        f"{number_of(len(found.lost), 'change')} of {pair} never applied.", audit.LOST_HINT
                    )
                clean = clean + 1 if found.clean else 0
                if not found.clean:
                    time.sleep(self.context.pace.poll_seconds)
        step.result = f"audit clean twice, {number_of(examined, 'record')} examined"

    def _verify(self, step: Step) -> None:
        folder = self.context.config.folder / ".ddbverify" / "runs" / f"cutover-{int(self.fenced_at)}"
        self.verified_by = str(folder)
        command = [
            sys.executable,
            "-m",
            "ddbverify",
            "run",
            "--config",
            str(self.context.config_path),
            "--out",
            str(folder),
            "--json",
        ]
        step.at("ddbverify run")
        status = _run(command, self.context.config.folder, max(self.deadline - clock.seconds(), 1.0))
        if status is None:
            raise EngineError(
                "The last verification did not end within [cutover] fence_limit.",
                "raise fence_limit or [verification] read_units, then run `replicator cutover` again.",
            )
        decision = gate.judge(self.context.config, folder, not_before=self.fenced_at, allow_churning=False)
        if not decision.open:
            reasons = "".join(f"\n  - {reason}" for reason in decision.reasons)
            raise EngineError(
                f"The last verification (exit {status}) does not open the gate:{reasons}",
                f"look into {folder} (findings.jsonl names the keys), then run `replicator cutover` again.",
            )
        self.verified = decision
        step.result = "every check passed"

    # --- the pointer --------------------------------------------------------------------------

    def _flip(self) -> None:
        self.lock.check()
        self._in_time("the fence was up for too long")
        with translated(f"set the parameter {self.pointer}"):
            self.context.source_client("ssm").put_parameter(
                Name=self.pointer, Value=self._target_value(), Type="String", Overwrite=True
            )

    def _target_value(self) -> str:
        """The target's ARN; for several pairs a JSON object of source name -> target ARN."""
        arns = {
            table_name(pair.source): self.context.resources(pair)["target_arn"]
            for pair in self.context.config.tables
        }
        return next(iter(arns.values())) if len(arns) == 1 else json.dumps(arns, sort_keys=True)

    def _points_at_target(self) -> bool:
        try:
            with translated(f"read the parameter {self.pointer}"):
                found = self.context.source_client("ssm").get_parameter(Name=self.pointer)
        except NotFoundError:
            return False
        return bool(found["Parameter"]["Value"] == self._target_value())

    def _surely_not_flipped(self) -> bool:
        try:
            return not self._points_at_target()
        except DdbVerifyError:
            return False

    # --- bookkeeping --------------------------------------------------------------------------

    def _fence(self) -> Fence:
        setting = self.context.config.cutover.fence
        if setting.startswith("command:"):
            return CommandFence(setting.removeprefix("command:"), str(self.context.config.folder))
        with translated("ask who we are"):
            identity = self.context.source_client("sts").get_caller_identity()["Arn"]
        sources = tuple(self.context.source_table(pair) for pair in self.context.config.tables)
        return PolicyFence(self.context.source, sources, role_of(identity))

    @contextmanager
    def _step(self, name: str, title: str) -> Iterator[Step]:
        if self.deadline:
            self._in_time(f"not reached in time: {title}")
        self.lock.check()
        with self.context.console.step(title) as step:
            yield step
        self._record(name, fenced=True, flipping="flip-asked" in self.steps)

    def _record(self, name: str, **flags: bool) -> None:
        self.steps[name] = now_text()
        self.context.whole.put(
            CUTOVER, steps=self.steps, token=self.lock.token, verified_by=self.verified_by or None, **flags
        )

    def _in_time(self, why: str) -> None:
        if clock.seconds() > self.deadline:
            raise EngineError(
                f"The cutover took longer than [cutover] fence_limit: {why}.",
                "look at `replicator status`, raise the limit if need be, run `replicator cutover` again.",
            )

    def _answer(self, steps: dict[str, str]) -> dict[str, Any]:
        return {
            "flipped": True,
            "pointer": self.pointer,
            "value": self._target_value(),
            "steps": dict(steps),
            "verified_by": self.verified_by or None,
        }

    def _leave_evidence(self, outcome: Outcome, *, reason: str | None = None) -> None:
        """Sign what was done. The cutover stands, or was rolled back, whatever becomes of this."""
        try:
            cutover_evidence.write(self.context.config, self._evidence(outcome, reason))
        except (DdbVerifyError, OSError) as error:
            self.context.console.warn(f"the evidence of this cutover could not be signed and kept: {error}")

    def _evidence(self, outcome: Outcome, reason: str | None) -> CutoverEvidence:
        judged = self.verified
        found = judged.evidence if judged else None
        return cutover_evidence.make(
            self.context.config,
            outcome=outcome,
            reason=reason,
            pointer=self.pointer,
            value=self._target_value() if outcome == "flipped" else None,
            steps=dict(self.steps),
            verified_by=cutover_evidence.VerifiedBy(run_id=found.run_id, sha256=judged.sha256)
            if judged and found and judged.sha256
            else None,
            pairs=tuple(
                cutover_evidence.CutoverPair(id=pair.id, source=pair.source, target=pair.target)
                for pair in (found.pairs if found else ())
            ),
            operator=aws.caller(self.context.source_side),
            emulator=self.context.emulator,
            written=now_text(),
        )


def _words(error: BaseException) -> str:
    """Why a cutover was rolled back, for people. A bug is known by its type: its text may hold values."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return error.message if isinstance(error, DdbVerifyError) else type(error).__name__


def _came_through(writes: int) -> str:
    return (
        f"{number_of(writes, 'write')} {'has' if writes == 1 else 'have'} come through the fence: something "
        "writes as root, or the policy does not hold; stop it, or Ctrl-C, which lifts the fence"
    )


@contextmanager
def _lifting(why: str) -> Iterator[None]:
    """Say it in these words where a fence cannot be lifted: it is what the operator has to know first."""
    try:
        yield
    except (DdbVerifyError, KeyboardInterrupt) as error:
        raise EngineError(
            f"{why}, and its fence could not be lifted: {_words(error)}",
            "lift it by hand now: the application cannot write. Then run `replicator cutover` again.",
        ) from error


def _run(command: Sequence[str], folder: Path, limit_seconds: float) -> int | None:
    """Exit status of a child; ``None`` if it was ended because it took too long."""
    with subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as child:
        try:
            return child.wait(limit_seconds)
        except BaseException as error:
            child.terminate()  # not killed: it has a child of its own to end
            try:
                child.wait(_ENDING_SECONDS)
            except subprocess.TimeoutExpired:  # the application cannot write as long as the fence is up
                child.kill()
            if isinstance(error, subprocess.TimeoutExpired):
                return None
            raise


def role_of(identity: str) -> tuple[str, ...]:
    """
    What ``aws:PrincipalArn`` may say for a caller: the role behind an assumed-role session.

    Two patterns, since a role's path is not part of the session's ARN.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
    """
    if ":assumed-role/" not in identity:
        return (identity,)
    head, _, rest = identity.partition(":assumed-role/")
    account = head.rpartition(":")[2]
    partition = identity.split(":", 2)[1]
    name = rest.partition("/")[0]
    return (f"arn:{partition}:iam::{account}:role/{name}", f"arn:{partition}:iam::{account}:role/*/{name}")


def _check(context: Context) -> str:
    settings = context.config.cutover
    if settings.pointer is None:
        raise ConfigurationError(
            "[cutover] pointer is missing: there is nothing to flip.",
            'name the parameter that your application reads: pointer = "ssm:/shop/orders-table".',
        )
    if settings.quiet < LEAST_QUIET_SECONDS and not context.emulator:
        raise ConfigurationError(
            f"[cutover] quiet of {settings.quiet:.0f} s is too short to prove the fence on AWS.",
            'use at least "60s".',
        )
    for pair in context.config.tables:
        if context.state(pair).get(Fact.STEP + "following") is None:
            raise Refused(f"{pair} does not follow its source yet.", "run `replicator restore` first.")
        _check_exists(context, pair)
    return settings.pointer.removeprefix("ssm:")


def _check_exists(context: Context, pair: Pair) -> None:
    if tables.find(context.target, pair.target) is None:
        raise Refused(
            f"The target of {pair} does not exist any more.", "begin anew with `replicator restart`."
        )


command = invocation.command(
    "cutover", cutover, "Gate, fence, drain, verify, flip; rolled back if a step fails."
)
