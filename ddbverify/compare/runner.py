"""
One pass over one pair: plan the segments, read both tables side by side, settle, add up.

`compare` is what checks and commands call; `Pass` is the same without AWS, for any reader.
"""

from __future__ import annotations

import functools
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ddbverify.code.digest import transform_digest
from ddbverify.compare.checkpoint import Checkpoint, ClaimsDone, SegmentDone
from ddbverify.compare.claim_log import ClaimLog
from ddbverify.compare.claims import ClaimJoin, Orphans
from ddbverify.compare.comparison import Comparison, EqualBy, KnownKeys, SideFacts, Stratum
from ddbverify.compare.controls import Controls, HeldTable, Specimens, missed
from ddbverify.compare.coscan import KeyJoin, Memory, Role
from ddbverify.compare.inspection import Inspector, ItemCheck, Refutation
from ddbverify.compare.judge import Judge
from ddbverify.compare.notes import notes
from ddbverify.compare.plugin_controls import hidden
from ddbverify.compare.reading import PointReads, Reader, Reading
from ddbverify.compare.settle import PipelinePassed, Settler, Suspect
from ddbverify.compare.tally import Tally
from ddbverify.config import Config, Duration, Verification
from ddbverify.config import Pair as PairSettings
from ddbverify.errors import ConfigurationError, EngineError
from ddbverify.items.form import Form, JoinKey, join_key, typed_key
from ddbverify.items.states import Difference, State
from ddbverify.items.transform import Transform
from ddbverify.names import TypedItem, table_name
from ddbverify.plugins.loading import Plugins
from ddbverify.plugins.rulings import Rulings
from ddbverify.tables.pace import Budget
from ddbverify.tables.segments import SEGMENTS_AT_ONCE, Plan, cut
from ddbverify.tables.table import Table, describe, describe_pair
from ddbverify.tables.wire import TableReader

SUSPECTS_AT_ONCE: Final = (
    50_000  # about a kilobyte each; more wait where they wait (`ddbverify.compare.spill`)
)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a pass is."""

    phase: str  # "scan", "settle" or "second pass"
    segments_finished: int
    segments_planned: int
    source_items: int
    target_items: int
    read_units: float
    open_suspects: int = 0


def compare(
    config: Config,
    pair: PairSettings,
    *,
    sample: float | None = None,
    seed: int | None = None,
    transform: Transform | None = None,
    progress: Callable[[Progress], None] | None = None,
    found: Callable[[Difference], None] | None = None,
    segments: int | None = None,
    checkpoint: Path | None = None,
    strata: Mapping[str, Sequence[JoinKey]] | None = None,
    item_checks: Sequence[ItemCheck] = (),
    refuted: Callable[[Refutation], None] | None = None,
    covered: Iterable[str] = (),
    plugins: Plugins | None = None,
    inspecting: Callable[[Inspector], None] | None = None,
) -> Comparison:
    """
    Read both tables of a pair once, and say for every key where it stands.

    Neither table has to be quiet: what looks different is settled before it is reported.

    Args:
        config: The whole configuration.
        pair: One of its tables.
        sample: Fraction of the segments to read; ``None`` for all of them.
        seed: Of the sample; one is drawn and recorded by default.
        transform: What a source item becomes; by default the pair's own, loaded here.
        progress: Told now and then how far the pass is, from any thread.
        found: Told of every difference as soon as it is decided, one call at a time.
        segments: How many there are; chosen by the tables' size by default, see `segments.cut`.
        checkpoint: File that keeps how far the pass is; where there is one, the pass goes on
            from it. Of a re-keyed pair, whose segments have nothing to do with each other, the
            keys that were read are kept in a folder beside it.
        strata: Keys to look up beside a sample, by the name of their list; reported apart from it.
        item_checks: Run on every pair of items that belong together; not with a checkpoint, which
            does not know what they said before.
        refuted: Told of every item that one of them failed on, one call at a time.
        covered: Attributes that `Comparison.controls` has to alter.
        plugins: Asked about items that differ, and whether the pipeline has passed; not with a
            checkpoint, which does not know what they said before.
        inspecting: Given what calls *item_checks*, before the first is called.

    Raises:
        ConfigurationError: The tables are no pair, the transform does not load, the sample
            is asked of a re-keyed pair, or the checkpoint is another comparison's.
        EngineError: AWS refused before anything was read. Refused later, what could not be
            read stands in `Comparison.unexamined`.
        Inconclusive: What does not fit into ``[verification] memory`` does not fit on the disk either.
    """
    if pair.rekeys and sample is not None and sample < 1:
        raise ConfigurationError(
            f"[[tables]] {pair}: a re-keyed pair cannot be sampled, its keys move between segments.",
            'set [verification] coverage = "full".',
        )
    if checkpoint is not None and (item_checks or plugins):
        raise ValueError("a pass with checks on items, or with plugins, cannot be resumed")
    source, target = describe_pair(config, pair)
    if transform is None:
        transform = Transform.load(pair.transform, source.key_schema, target.key_schema, rekeys=pair.rekeys)
    attributes = dict.fromkeys(name for name in (source.ttl_attribute, target.ttl_attribute) if name)
    rulings = Rulings(plugins, table_name(pair.source), target.key_schema) if plugins else None
    form = Form.of(pair.ignore)
    planned, kept = cut(source, target, sample=sample, seed=seed, segments=segments), None
    if checkpoint is not None:
        digest = transform_digest(config, pair)
        tables = [table.identity for table in (source, target)]
        rules = [pair.transform, digest, pair.ignore, list(attributes), sample, seed, segments]
        kept = Checkpoint.open(checkpoint, [tables, rules])
        planned, secret = _kept_plan(kept, planned, form.secret)
        form = Form.of(pair.ignore, secret)
    judge = Judge(transform, form, tuple(attributes), rulings)
    inspector = Inspector(item_checks, target.key_schema, refuted)
    if inspecting is not None:
        inspecting(inspector)
    rate, budget = config.verification.read_units, Budget(config.verification.max_read_units)
    stop = threading.Event()
    comparison = Pass(
        pair.id,
        TableReader(config.source, source, units_per_second=rate, budget=budget, stop=stop),
        TableReader(config.target, target, units_per_second=rate, budget=budget, stop=stop),
        judge,
        planned,
        config.verification,
        progress=progress,
        found=found,
        pipeline_passed=rulings.pipeline_passed if rulings is not None else None,
        checkpoint=kept,
        strata=strata,
        inspector=inspector,
        stop=stop,
        covered=covered,
    ).run()
    replaced = _replaced(config, pair, source, target)
    return replace(comparison, unexamined=(*comparison.unexamined, *replaced))


def _replaced(config: Config, pair: PairSettings, source: Table, target: Table) -> Iterator[str]:
    """Which table is not the one any more that the pass began with, in words: it was read in two states."""
    for side, reference, before in (
        (config.source, pair.source, source),
        (config.target, pair.target, target),
    ):
        try:
            now = describe(side, reference)
        except EngineError as error:
            yield f"the table {before.name} could not be looked at again at the end: {error.message}"
            continue
        if now.identity != before.identity:
            yield f"the table {before.name} was deleted and made anew while it was read"


def _kept_plan(kept: Checkpoint, planned: Plan, secret: bytes) -> tuple[Plan, bytes]:
    """Plan and secret of the pass that the checkpoint is of; the new ones where it has just begun."""
    drawn = list(planned.segments) if planned.is_sample else None
    kept.planned(total=planned.total, drawn=drawn, seed=planned.seed, secret=secret.hex())
    before = kept.plan or {}
    segments = range(before["total"]) if before["drawn"] is None else before["drawn"]
    return Plan(before["total"], tuple(segments), before["seed"]), bytes.fromhex(before["secret"])


def steady_clock() -> Callable[[], float]:
    """A clock in seconds since the epoch that no adjustment of the machine's sets back."""
    epoch, started = time.time(), time.monotonic()
    return lambda: epoch + (time.monotonic() - started)


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
        progress: Callable[[Progress], None] | None = None,
        found: Callable[[Difference], None] | None = None,
        pipeline_passed: PipelinePassed | None = None,
        checkpoint: Checkpoint | None = None,
        strata: Mapping[str, Sequence[JoinKey]] | None = None,
        inspector: Inspector | None = None,
        stop: threading.Event | None = None,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        threads: int = SEGMENTS_AT_ONCE,
        covered: Iterable[str] = (),
        is_control: bool = False,
    ) -> None:
        """
        Prepare; nothing is read yet.

        *stop* is set when the pass ends early: the readers' own, too. A control has no controls.
        """
        self._pair_id = pair_id
        self._readers = {Role.SOURCE: source, Role.TARGET: target}
        self._schemas = {
            Role.SOURCE: judge.transform.source_keys,
            Role.TARGET: judge.transform.target_keys,
        }
        self._judge, self._plan, self._settings = judge, planned, settings
        self._progress, self._pipeline_passed = progress, pipeline_passed
        self._clock, self._sleep = clock or steady_clock(), sleep
        self._strata, self._found = strata or {}, found
        self._reported: set[JoinKey] = set()  # kept for the strata only
        self._tally = Tally(judge, self._report_once if self._strata else found)
        self._inspector = inspector or Inspector((), judge.transform.target_keys)
        self._memory = Memory(settings.memory)
        self._covered = frozenset(covered)
        self._specimens = None if is_control else Specimens(judge, self._covered)
        self._phase, self._open_suspects = "scan", 0
        self._lock = threading.Lock()
        self._new_reading = functools.partial(
            Reading,
            self._readers,
            self._schemas,
            planned,
            clock=self._clock,
            stop=stop or threading.Event(),
            report=self._report,
            threads=threads,
        )
        self._reading = self._new_reading(specimens=self._specimens)
        self._second_reading = self._new_reading(" in the second pass")
        self._checkpoint = checkpoint
        self._resumed: dict[JoinKey, int] = {}  # keys that an earlier run left open -> their segment
        for done in checkpoint.finished if checkpoint else ():
            self._resume(done)
        read_before = self._reading.finished_on_both_sides
        self._to_read = [segment for segment in planned.segments if segment not in read_before]

    def _resume(self, done: SegmentDone) -> None:
        self._tally.resume(done)
        for role, reader in self._readers.items():
            self._reading.finished[role].add(done.segment)
            self._reading.scanned[role] += done.scanned[role]
            reader.read_units = max(reader.read_units, done.read_units[role])
            reader.requests = max(reader.requests, done.requests[role])
        schema = self._judge.transform.target_keys
        self._resumed |= {join_key(key, schema): done.segment for key in done.open_keys}

    def run(self) -> Comparison:
        """Scan, settle, and add up. Raises as `compare` does."""
        started = self._clock()
        try:
            suspects = self._scan_claims() if self._judge.transform.rekeys else self._scan_keys()
            orphans = self._settle(suspects)
        finally:
            self._memory.spill.close()
        if orphans:
            self._second_look(orphans)
        strata = [self._settle_stratum(name, keys) for name, keys in self._strata.items()]
        return self._comparison(started, strata)

    # --- scanning -----------------------------------------------------------------------

    def _scan_keys(self) -> Iterator[Suspect]:
        """Segment i of both tables side by side."""
        whole = KeyJoin(self._judge, self._tally, self._memory, self._inspector)

        def co_scan(segment: int) -> None:
            join = KeyJoin(self._judge, self._tally, self._memory, self._inspector)
            streams = {role: self._reading.pages(role, segment) for role in Role}
            items = dict.fromkeys(Role, 0)
            while streams:
                # The side that lags behind goes next: then little has to wait.
                role = min(streams, key=lambda role: items[role])
                page_at = next(streams[role], None)
                if page_at is None:
                    del streams[role]
                    join.ended(role, segment)
                    continue
                items[role] += page_at[0].count
                try:
                    join.add(role, *page_at, segment)
                except EngineError as error:
                    self._reading.not_read(role, segment, error)
                    del streams[role]
            with self._lock:
                self._keep(segment, join, items)
                whole.take_over(join)

        self._reading.for_each(self._to_read, co_scan)
        # In a sample a key that was not met may be in a segment that was not drawn (docs/aws.md T19).
        whole_read = not self._plan.is_sample
        left = whole.finish(
            self._clock(),
            source_complete=whole_read and self._reading.is_complete(Role.SOURCE),
            target_complete=whole_read and self._reading.is_complete(Role.TARGET),
            known=self._resumed.keys(),
        )
        # Nothing is known any more of what the earlier run saw of these: settling finds it out.
        unknown = (
            Suspect(key=key, owners={key}, expected=None, target=None, segment=segment)
            for key, segment in self._resumed.items()
        )
        return itertools.chain(left, unknown)

    def _keep(self, segment: int, join: KeyJoin, items: dict[Role, int]) -> None:
        """Note a segment in the checkpoint, unless some of it was not read, or waits on the disk."""
        read = segment in self._reading.finished_on_both_sides
        if self._checkpoint is None or not read or join.spilled:
            return
        readers = self._readers.items()
        self._checkpoint.done(
            SegmentDone(
                segment=segment,
                matched=join.matched,
                excluded=join.excluded,
                canary=join.met_canary,
                scanned={str(role): count for role, count in items.items()},
                read_units={str(role): reader.read_units for role, reader in readers},
                requests={str(role): reader.requests for role, reader in readers},
                open_keys=[typed_key(key, self._judge.transform.target_keys) for key in join.open_keys()],
            )
        )

    def _scan_claims(self) -> Iterator[Suspect]:
        """The whole target, then the source through the re-keying transform."""
        kept = self._checkpoint
        log = None if kept is None else ClaimLog(kept.claims_folder, self._schemas, anew=not kept.claims)
        join = ClaimJoin(self._judge, self._tally, self._memory, self._inspector, by_state=log is not None)
        adds = {Role.TARGET: join.add_target, Role.SOURCE: join.add_source}

        def read(role: Role, segment: int) -> None:
            items = 0
            with nullcontext() if log is None else log.writing(role, segment) as file:
                for page, at in self._reading.pages(role, segment):
                    try:
                        taken = adds[role](page, at)
                    except EngineError as error:
                        self._reading.not_read(role, segment, error)
                        return
                    items += page.count
                    if file is not None:
                        file.add(taken)
            if kept is not None and segment in self._reading.finished[role]:
                reader = self._readers[role]
                kept.claims_done(
                    ClaimsDone(
                        role=role,
                        segment=segment,
                        scanned=items,
                        read_units=reader.read_units,
                        requests=reader.requests,
                    )
                )

        for role in adds:
            for done in kept.claims if kept else ():
                if log is not None and done.role == role:
                    self._take_claims(role, done, join, log)
            left = [one for one in self._plan.segments if one not in self._reading.finished[role]]
            self._reading.for_each(left, functools.partial(read, role))
        return join.finish(
            self._clock(),
            source_complete=self._reading.is_complete(Role.SOURCE),
            target_complete=self._reading.is_complete(Role.TARGET),
        )

    def _take_claims(self, role: Role, done: ClaimsDone, join: ClaimJoin, log: ClaimLog) -> None:
        """Join what an earlier run has read of one segment."""
        for taken in log.read(role, done.segment):
            # As seen only now: nobody knows what has moved since then.
            join.take(taken, self._clock())
        reader = self._readers[role]
        self._reading.finished[role].add(done.segment)
        self._reading.scanned[role] += done.scanned
        reader.read_units = max(reader.read_units, done.read_units)
        reader.requests = max(reader.requests, done.requests)

    # --- settling -----------------------------------------------------------------------

    def _settle(self, suspects: Iterable[Suspect], *, orphans_are_final: bool = False) -> list[Suspect]:
        """Decide every suspect but those whose owners nobody knows yet; these are returned."""
        orphans: list[Suspect] = []
        waiting = iter(suspects)
        while batch := list(itertools.islice(waiting, SUSPECTS_AT_ONCE)):
            orphans += self._settle_batch(batch, orphans_are_final=orphans_are_final)
        return orphans

    def _settle_batch(self, suspects: list[Suspect], *, orphans_are_final: bool) -> list[Suspect]:
        self._phase, self._open_suspects = "settle", len(suspects)
        settler = self._new_settler(orphans_are_final=orphans_are_final, wants_pairs=bool(self._inspector))
        orphans = []
        for settled in settler.settle(suspects):
            if settled.state is None:
                orphans.append(settled.suspect)
                continue
            by_word_only = self._tally.settled(settled)
            both = settled.expected and settled.found and settled.state in (State.MATCHED, State.DIFFERENT)
            if self._inspector and both:
                different = by_word_only or settled.state is State.DIFFERENT
                self._inspector.settled(settled.suspect.key, settled.pair, different=different)
            self._open_suspects -= 1
            self._report()
        return orphans

    def _new_settler(self, *, orphans_are_final: bool = False, wants_pairs: bool = False) -> Settler:
        return Settler(
            PointReads(self._readers, self._schemas),
            self._judge,
            settle_seconds=self._settings.settle,
            clock=self._clock,
            sleep=self._sleep,
            pipeline_passed=self._pipeline_passed,
            orphans_are_final=orphans_are_final,
            wants_pairs=wants_pairs,
        )

    def _settle_stratum(self, name: str, keys: Sequence[JoinKey]) -> Stratum:
        """Look up keys that somebody has chosen, with counts of their own."""
        tally, in_neither, before = Tally(self._judge, self._report_once), 0, len(self._reported)
        self._phase = "settle"
        waiting = iter(keys)
        while some := list(itertools.islice(waiting, SUSPECTS_AT_ONCE)):
            self._open_suspects = len(some)
            suspects = [Suspect(key=key, owners={key}, expected=None, target=None) for key in some]
            for settled in self._new_settler().settle(suspects):
                tally.settled(settled)
                in_neither += settled.state is State.MATCHED and not (settled.expected or settled.found)
                self._open_suspects -= 1
                self._report()
        listed = len(self._reported) - before
        return Stratum(name=name, counts=dict(tally.counts), in_neither=in_neither, listed=listed)

    def _report_once(self, difference: Difference) -> None:
        """Hand a difference on unless its key has been reported: a sample and a stratum may share keys."""
        key = join_key(difference.key, self._judge.transform.target_keys)
        if key not in self._reported:
            self._reported.add(key)
            if self._found is not None:
                self._found(difference)

    def _second_look(self, suspects: list[Suspect]) -> None:
        """One more pass over the source for target items that no source item was seen to claim."""
        self._phase = "second pass"
        search = Orphans(self._judge, suspects)

        def read_source(segment: int) -> None:
            for page, at in self._second_reading.pages(Role.SOURCE, segment):
                search.add_source(page, at)

        self._second_reading.for_each(self._plan.segments, read_source)
        reason = ""
        if not self._second_reading.is_complete(Role.SOURCE):
            reason = "no source item claims it, but the second pass did not reach the source's end"
        elif search.uncomparable_sources:
            reason = "no source item claims it, but some could not be transformed"
        settled = [one for one in suspects if one.owners or not reason]
        for one in suspects:
            if one.owners or not reason:
                continue
            key = typed_key(one.key, self._judge.transform.target_keys)
            difference = Difference(state=State.UNDECIDED, key=key, reason=reason)
            self._tally.different(difference, expected=False, found=bool(one.target))
        self._settle(settled, orphans_are_final=True)

    # --- adding up ----------------------------------------------------------------------

    def _comparison(self, started: float, strata: Sequence[Stratum]) -> Comparison:
        tally, planned = self._tally, self._plan
        finished = self._reading.finished_on_both_sides
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
            converged=tally.converged,
            slowest_convergence_seconds=tally.slowest_convergence_seconds,
            started_epoch=started,
            ended_epoch=self._clock(),
            inspected=self._inspector.results,
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
                *self._reading.unexamined,
                *self._second_reading.unexamined,
                *self._failures(),
                *self._controls(),
            ),
            strata=tuple(strata),
            notes=(
                *notes(tally, self._judge, planned, finished, self._settings.settle),
                *map(str, strata),
            ),
            controls=None
            if self._specimens is None
            else Controls(
                self._specimens.items,
                replace(self._judge, rulings=None),
                self._covered,
                self._in_memory,
            ),
        )

    def _failures(self) -> Iterator[str]:
        """What plugins did not answer, before the controls ask them about items of no sense."""
        if self._judge.rulings is not None:
            yield from self._judge.rulings.failures

    def _in_memory(self, source: Sequence[TypedItem], target: Sequence[TypedItem]) -> Comparison:
        """The same checks under the same rules, over a few items that hold still."""
        keys, clock = self._judge.transform, _Leaping(self._clock())
        return Pass(
            self._pair_id,
            HeldTable(source, keys.source_keys),
            HeldTable(target, keys.target_keys),
            replace(self._judge, rulings=None),  # what plugins hide has controls of its own
            Plan(1, (0,)),
            Verification(settle=Duration(0)),
            inspector=self._inspector.anew(),
            clock=clock,
            sleep=clock.sleep,
            threads=1,
            is_control=True,
        ).run()

    def _controls(self) -> Iterator[str]:
        """Say what this engine, under these rules, would not have noticed of these very items."""
        specimens = self._specimens.items if self._specimens else ()
        if unseen := missed(specimens, replace(self._judge, rulings=None), self._clock()):
            yield f"a control failed: altered on purpose, it did not notice {', '.join(unseen)}"
        if self._judge.rulings and (unseen := hidden(specimens, self._judge)):
            yield (
                f"a control failed: with the plugins {', '.join(self._judge.rulings.plugins)} it did not "
                f"notice {', '.join(unseen)}, whatever differs"
            )

    def _facts(self, role: Role, items: int) -> SideFacts:
        reader = self._readers[role]
        return SideFacts(
            items=items,
            scanned=self._reading.scanned[role],
            read_units=reader.read_units,
            requests=reader.requests,
        )

    def _report(self) -> None:
        if self._progress is None:
            return
        finished = self._reading.finished_on_both_sides
        self._progress(
            Progress(
                phase=self._phase,
                segments_finished=len(finished),
                segments_planned=len(self._plan.segments),
                source_items=self._reading.scanned[Role.SOURCE],
                target_items=self._reading.scanned[Role.TARGET],
                read_units=sum(reader.read_units for reader in self._readers.values()),
                open_suspects=self._open_suspects,
            )
        )


class _Leaping:
    """A clock that nobody waits for."""

    def __init__(self, now: float) -> None:
        self._now = now

    def __call__(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds
