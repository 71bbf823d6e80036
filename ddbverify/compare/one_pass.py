"""
One pass over one pair, from any reader: scan both tables, settle what differs, add up.

`run` is the story in a dozen lines. The scan is in `key_scan`, or in `claim_scan` where keys change on
the way; settling is in `settling`. What they share is a `Work`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace

from ddbverify.compare.checkpoint import Checkpoint
from ddbverify.compare.claim_scan import ClaimScan
from ddbverify.compare.comparison import Comparison, EqualBy, KnownKeys, SideFacts, Stratum
from ddbverify.compare.controls import Controls, HeldTable, missed
from ddbverify.compare.judge import Judge
from ddbverify.compare.key_scan import KeyScan
from ddbverify.compare.memory import long_turns, rare_collections
from ddbverify.compare.notes import notes
from ddbverify.compare.plugin_controls import hidden
from ddbverify.compare.reading import Reader
from ddbverify.compare.request import Listeners, PassRequest, Running
from ddbverify.compare.settling import Settling
from ddbverify.compare.sides import Role
from ddbverify.compare.suspects import Suspect
from ddbverify.compare.work import Hiring, Work
from ddbverify.config import Duration, Verification
from ddbverify.errors import EngineError
from ddbverify.items.keys import marker_keys
from ddbverify.items.states import State
from ddbverify.names import TypedItem
from ddbverify.tables.segments import Plan

ScanOf = Callable[[Work], Iterable[Suspect]]
"""Reads all that is planned, and gives what does not match; raises as `runner.compare` does."""


class Pass:
    """One pass over one pair. Run it once."""

    def __init__(
        self,
        pair_id: str,
        source: Reader,
        target: Reader,
        judge: Judge,
        planned: Plan,
        settings: Verification,
        *,
        request: PassRequest | None = None,
        listeners: Listeners | None = None,
        running: Running | None = None,
        checkpoint: Checkpoint | None = None,
        has_controls: bool = True,
        crew: Hiring | None = None,
        looks: Mapping[Role, Reader] | None = None,
        scan: ScanOf | None = None,
    ) -> None:
        """
        Prepare; nothing is read yet.

        Args:
            pair_id: As the configuration names the pair.
            source: Reads the source.
            target: Reads the target.
            judge: The rules of the pair.
            planned: The segments to read.
            settings: Memory and settle time.
            request: What else is asked. Its sample, seed, segments and checkpoint file have been
                seen to: they are *planned* and *checkpoint*.
            listeners: Who is told.
            running: Clock and threads.
            checkpoint: Of this pass, open.
            has_controls: Whether to alter copies at the end; a control has no controls.
            crew: Processes that read the segments; not of a re-keyed pair.
            looks: Where keys that differ are looked at, if that is elsewhere; not of a re-keyed pair.
            scan: In place of the usual scan; of a re-keyed pair it tells all, and gives nothing.
        """
        self._pair_id, self._scan = pair_id, scan
        self._work = Work(
            {Role.SOURCE: source, Role.TARGET: target},
            judge,
            planned,
            settings,
            request=request or PassRequest(),
            listeners=listeners or Listeners(),
            running=running or Running(),
            checkpoint=checkpoint,
            has_controls=has_controls,
            crew=crew,
            looks=looks,
        )

    def run(self) -> Comparison:
        """Scan, settle, and add up. Raises as `runner.compare` does."""
        with rare_collections(), long_turns() if self._work.judge.transform.rekeys else nullcontext():
            return self._run()

    def _run(self) -> Comparison:
        work, settling = self._work, Settling(self._work)
        started = work.running.clock()
        if work.request.changed is not None:
            settling.settle_changed(work.request.changed)
            return self._comparison(started, (), tuple(self._emptied()))
        claims = ClaimScan(work) if work.judge.transform.rekeys and self._scan is None else None
        try:
            scan = self._scan or (lambda work: KeyScan(work).suspects())
            suspects = claims.suspects() if claims else scan(work)
            if work.request.still:
                settling.decide(suspects)
                orphans: list[Suspect] = []
            elif work.are_looks_elsewhere:
                settling.settle_elsewhere(suspects)
                orphans = []
            else:
                orphans = settling.settle(suspects)
        finally:
            work.memory.spill.close()
        if claims and orphans:
            work.phase = "second pass"
            settling.settle_orphans(orphans, claims.look_for_owners(orphans))
        strata = [settling.settle_stratum(name, keys) for name, keys in work.request.strata.items()]
        return self._comparison(started, strata, claims.unexamined if claims else ())

    def _emptied(self) -> Iterator[str]:
        """Of changes: whether a full pass would find nothing at all, which proves nothing."""
        tally, judge = self._work.tally, self._work.judge
        if not tally.counts[State.MATCHED] or tally.expected_items or tally.target_items:
            return  # nothing was deleted, or something is there
        reserved = {
            Role.SOURCE: {judge.source_canary} | marker_keys(judge.transform.source_keys),
            Role.TARGET: {judge.target_canary} | marker_keys(judge.transform.target_keys),
        }
        try:
            pages = {role: reader.scan_page(0, 1, None) for role, reader in self._work.readers.items()}
        except EngineError as error:
            yield f"it is not known whether the tables hold any item: {error.message}"
            return
        if not any(page.last_key or set(page.keys) - reserved[role] for role, page in pages.items()):
            yield "all that changed was deleted, and both tables hold no item any more: run without --since"

    def _comparison(
        self, started: float, strata: Sequence[Stratum], not_in_the_second_pass: Sequence[str]
    ) -> Comparison:
        work, tally, planned = self._work, self._work.tally, self._work.plan
        finished = work.reading.finished_on_both_sides
        return Comparison(
            pair_id=self._pair_id,
            counts={state: tally.counts[state] for state in State},
            differences=tuple(tally.differences),
            source=self._facts(Role.SOURCE, tally.expected_items),
            target=self._facts(Role.TARGET, tally.target_items),
            segments_planned=len(planned.segments),
            segments_finished=len(finished),
            segments_total=planned.total,
            seed=planned.seed,
            different_by_cause=tally.different_by_cause,
            converged=tally.converged,
            slowest_convergence_seconds=tally.slowest_convergence_seconds,
            started_epoch=started,
            ended_epoch=work.running.clock(),
            inspected=work.inspector.results,
            equal_by=tuple(
                EqualBy(plugin=plugin, hook=hook, keys=keys)
                for (plugin, hook), keys in sorted(tally.equal_by.items())
            ),
            known=tuple(
                KnownKeys(plugin=plugin, reason=reason, expires=expires, keys=keys)
                for (plugin, reason, expires), keys in sorted(tally.known.items())
            ),
            different_in=tally.different_in.counted,
            different_told=tally.different_in.told,
            unexamined=(
                *work.reading.unexamined,
                *not_in_the_second_pass,
                *self._failures(),
                *self._controls(),
            ),
            strata=tuple(strata),
            of_changes=work.request.changed is not None,
            notes=(
                *notes(tally, work.judge, planned, finished, work.settings.settle),
                *work.notes,
                *map(str, strata),
            ),
            controls=None
            if work.specimens is None
            else Controls(work.specimens.items, self._without_plugins(), work.covered, self._in_memory),
        )

    def _facts(self, role: Role, items: int) -> SideFacts:
        read_units, requests = self._work.spent(role)
        return SideFacts(
            items=items,
            scanned=self._work.reading.scanned[role],
            read_units=read_units,
            requests=requests,
        )

    def _failures(self) -> Iterator[str]:
        """What plugins did not answer, before the controls ask them about items of no sense."""
        if self._work.judge.rulings is not None:
            yield from self._work.judge.rulings.failures

    # --- controls -----------------------------------------------------------------------

    def _controls(self) -> Iterator[str]:
        """Say what this engine, under these rules, would not have noticed of these very items."""
        specimens, judge = self._work.specimens, self._work.judge
        items = specimens.items if specimens else ()
        if unseen := missed(items, self._without_plugins(), self._work.running.clock()):
            yield f"a control failed: altered on purpose, it did not notice {', '.join(unseen)}"
        if judge.rulings and (unseen := hidden(items, judge)):
            yield (
                f"a control failed: with the plugins {', '.join(judge.rulings.plugins)} it did not "
                f"notice {', '.join(unseen)}, whatever differs"
            )

    def _in_memory(self, source: Sequence[TypedItem], target: Sequence[TypedItem]) -> Comparison:
        """The same checks under the same rules, over a few items that hold still."""
        work, clock = self._work, _Leaping(self._work.running.clock())
        keys = work.judge.transform
        return Pass(
            self._pair_id,
            HeldTable(source, keys.source_keys),
            HeldTable(target, keys.target_keys),
            self._without_plugins(),
            Plan(1, (0,)),
            Verification(settle=Duration(0)),
            request=PassRequest(item_checks=work.request.item_checks),
            running=Running(clock=clock, sleep=clock.sleep, threads=1),
            has_controls=False,
        ).run()

    def _without_plugins(self) -> Judge:
        """The rules without plugins: what these hide has controls of its own."""
        return replace(self._work.judge, rulings=None)


class _Leaping:
    """A clock that nobody waits for."""

    def __init__(self, now: float) -> None:
        self._now = now

    def __call__(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds
