"""
One pass over one pair: plan the segments, read both tables side by side, settle, add up.

`compare` is what checks and commands call; `Pass` is the same without AWS, for any reader.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Final, Protocol

from ddbverify import sampling
from ddbverify import transform as transforms
from ddbverify.comparison import Comparison, Difference, SideFacts, State
from ddbverify.config import Config, Verification
from ddbverify.config import Pair as PairSettings
from ddbverify.coscan import ClaimJoin, KeyJoin, Memory, Orphans, Role, Tally
from ddbverify.errors import AccessError, ConfigurationError, EngineError, NotFoundError
from ddbverify.items import Form, JoinKey, PointRead, show_path, typed_key
from ddbverify.judge import Judge
from ddbverify.names import KeySchema, TypedItem
from ddbverify.pace import Budget
from ddbverify.pages import Page
from ddbverify.settle import PipelinePassed, Settler, Suspect
from ddbverify.tables import Table, describe_pair
from ddbverify.transform import Transform
from ddbverify.wire import TableReader

THREADS: Final = 8
SMALL_TABLE_BYTES: Final = 8_000_000
BYTES_PER_SEGMENT: Final = 64_000_000
MOST_SEGMENTS: Final = 1_000_000  # of a parallel scan (FIELD_NOTES T19)
SEGMENTS_IN_A_SAMPLE: Final = 100  # a clean one bounds the mismatching segments at about 3 %
ITEMS_PER_SAMPLED_SEGMENT: Final = 20


class Reader(Protocol):
    """The reads of one table; `wire.TableReader` in earnest."""

    read_units: float
    requests: int

    def scan_page(self, segment: int, total_segments: int, start: TypedItem | None) -> Page:
        """One page, or an `EngineError`."""

    def get_items(self, keys: Sequence[TypedItem]) -> list[PointRead]:
        """One answer per key, in their order."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Which segments are read, of how many."""

    total: int
    segments: tuple[int, ...]
    seed: int | None = None

    @property
    def is_sample(self) -> bool:
        """Whether some are left out."""
        return len(self.segments) < self.total


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
    pipeline_passed: PipelinePassed | None = None,
    segments: int | None = None,
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
        pipeline_passed: See `ddbverify.settle.PipelinePassed`.
        segments: How many there are; chosen by the tables' size by default, see `plan`.

    Raises:
        ConfigurationError: The tables are no pair, the transform does not load, or the sample
            is asked of a re-keyed pair.
        EngineError: AWS refused before anything was read. Refused later, what could not be
            read stands in `Comparison.unexamined`.
        Inconclusive: More would have to wait in memory than ``[verification] memory`` allows.
    """
    if pair.rekeys and sample is not None and sample < 1:
        raise ConfigurationError(
            f"[[tables]] {pair}: a re-keyed pair cannot be sampled, its keys move between segments.",
            'set [verification] coverage = "full".',
        )
    source, target = describe_pair(config, pair)
    if transform is None:
        function = transforms.load_function(pair.transform) if pair.transform else None
        transform = Transform(
            pair.transform or "", function, source.key_schema, target.key_schema, pair.rekeys
        )
    attributes = dict.fromkeys(name for name in (source.ttl_attribute, target.ttl_attribute) if name)
    judge = Judge(transform, Form.of(pair.ignore), tuple(attributes))
    rate, budget = config.verification.read_units, Budget(config.verification.max_read_units)
    return Pass(
        pair.id,
        TableReader(config.source, source, units_per_second=rate, budget=budget),
        TableReader(config.target, target, units_per_second=rate, budget=budget),
        judge,
        plan(source, target, sample=sample, seed=seed, segments=segments),
        config.verification,
        progress=progress,
        found=found,
        pipeline_passed=pipeline_passed,
    ).run()


def plan(
    source: Table, target: Table, *, sample: float | None, seed: int | None, segments: int | None = None
) -> Plan:
    """
    How many segments the tables are cut into, and which of them are read.

    One segment for tables under 8 MB, else one per 64 MB begun, and at least one per thread.
    A sample needs many: as many as make 100 in it, but none so small that it would hold fewer
    than 20 items. Sizes are those of the larger table, and hours old: they decide about speed
    and about the sharpness of a sample, never about what is found.

    Args:
        source: As described.
        target: As described.
        sample: Fraction to read; ``None`` or 1 for everything.
        seed: Of the sample.
        segments: Overrides the rule.
    """
    size = max(source.size_bytes, target.size_bytes)
    total = 1 if size < SMALL_TABLE_BYTES else max(THREADS, math.ceil(size / BYTES_PER_SEGMENT))
    if sample is not None and sample < 1:
        items = max(source.item_count, target.item_count)
        enough = math.ceil(SEGMENTS_IN_A_SAMPLE / sample)
        total = max(total, THREADS, min(enough, items // ITEMS_PER_SAMPLED_SEGMENT))
    total = min(segments or total, MOST_SEGMENTS)
    if sample is None or sample >= 1:
        return Plan(total, tuple(range(total)))
    seed = sampling.new_seed() if seed is None else seed
    return Plan(total, sampling.draw(total, sample, seed), seed)


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
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        threads: int = THREADS,
    ) -> None:
        """Prepare; nothing is read yet."""
        self._pair_id = pair_id
        self._readers = {Role.SOURCE: source, Role.TARGET: target}
        self._judge, self._plan, self._settings = judge, planned, settings
        self._progress, self._pipeline_passed = progress, pipeline_passed
        self._clock, self._sleep = clock or steady_clock(), sleep
        self._threads = threads
        self._tally = Tally(judge, found)
        self._memory = Memory(settings.memory)
        self._scanned = dict.fromkeys(Role, 0)
        self._finished: dict[Role, set[int]] = {role: set() for role in Role}
        self._unexamined: list[str] = []
        self._phase, self._open_suspects = "scan", 0
        self._stop = threading.Event()
        self._lock = threading.Lock()

    def run(self) -> Comparison:
        """Scan, settle, and add up. Raises as `compare` does."""
        started = self._clock()
        suspects = self._scan_claims() if self._judge.transform.rekeys else self._scan_keys()
        orphans = self._settle(suspects)
        if orphans:
            self._second_look(orphans)
        return self._comparison(started)

    # --- scanning -----------------------------------------------------------------------

    def _scan_keys(self) -> list[Suspect]:
        """Segment i of both tables side by side."""
        whole = KeyJoin(self._judge, self._tally, self._memory)

        def co_scan(segment: int) -> None:
            join = KeyJoin(self._judge, self._tally, self._memory)
            streams = {role: self._pages(role, segment) for role in Role}
            items = dict.fromkeys(Role, 0)
            while streams:
                # The side that lags behind goes next: then little has to wait.
                role = min(streams, key=lambda role: items[role])
                page_at = next(streams[role], None)
                if page_at is None:
                    del streams[role]
                    continue
                items[role] += page_at[0].count
                join.add(role, *page_at, segment)
            with self._lock:
                whole.take_over(join)

        self._for_each_segment(co_scan)
        # In a sample a key that was not met may be in a segment that was not drawn (T19).
        whole_read = not self._plan.is_sample
        return whole.finish(
            self._clock(),
            source_complete=whole_read and self._is_complete(Role.SOURCE),
            target_complete=whole_read and self._is_complete(Role.TARGET),
        )

    def _scan_claims(self) -> list[Suspect]:
        """The whole target, then the source through the re-keying transform."""
        join = ClaimJoin(self._judge, self._tally, self._memory)

        def read_target(segment: int) -> None:
            for page, at in self._pages(Role.TARGET, segment):
                join.add_target(page, at)

        def read_source(segment: int) -> None:
            for page, at in self._pages(Role.SOURCE, segment):
                join.add_source(page, at)

        self._for_each_segment(read_target)
        self._for_each_segment(read_source)
        return join.finish(
            self._clock(),
            source_complete=self._is_complete(Role.SOURCE),
            target_complete=self._is_complete(Role.TARGET),
        )

    def _is_complete(self, role: Role) -> bool:
        return len(self._finished[role]) == len(self._plan.segments)

    def _for_each_segment(self, work: Callable[[int], None]) -> None:
        with ThreadPoolExecutor(self._threads, thread_name_prefix="ddbverify-scan") as pool:
            futures: list[Future[None]] = []
            try:
                futures.extend(pool.submit(work, segment) for segment in self._plan.segments)
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
            except BaseException:
                # Also Ctrl-C: the threads end after the page in hand, then the error goes on.
                self._stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _pages(self, role: Role, segment: int, *, again: bool = False) -> Iterator[tuple[Page, float]]:
        """
        The pages of one segment, each with the moment by which it had been read.

        A segment whose end is not proven is named in `Comparison.unexamined`; the pages before
        the error count nevertheless, since what they show is true.
        """
        start: TypedItem | None = None
        while not self._stop.is_set():
            try:
                page = self._page(role, segment, start)
            except EngineError as error:
                if isinstance(error, AccessError | NotFoundError) and self._readers[role].requests == 0:
                    raise  # refused before anything was read: not a finding about the tables
                pass_name = "second pass over " if again else ""
                with self._lock:
                    self._unexamined.append(
                        f"segment {segment + 1} of {self._plan.total} of the {role} was not read to its "
                        f"end ({pass_name}{error.message})"
                    )
                return
            if not again:
                with self._lock:
                    self._scanned[role] += page.count
            yield page, self._clock()
            if page.last_key is None:
                if not again:
                    with self._lock:
                        self._finished[role].add(segment)
                self._report()
                return
            start = page.last_key
            self._report()

    def _page(self, role: Role, segment: int, start: TypedItem | None) -> Page:
        page = self._readers[role].scan_page(segment, self._plan.total, start)
        if page.last_key is not None and page.last_key == start:
            raise EngineError(
                "The scan does not move on: a page starts where the one before started.",
                "run the command again; if it comes back, report it to the vendor of the endpoint.",
            )
        return page

    # --- settling -----------------------------------------------------------------------

    def _settle(self, suspects: list[Suspect], *, orphans_are_final: bool = False) -> list[Suspect]:
        """Decide every suspect but those whose owners nobody knows yet; these are returned."""
        self._phase, self._open_suspects = "settle", len(suspects)
        settler = Settler(
            _PointReads(self._readers, self._judge),
            self._judge,
            settle_seconds=self._settings.settle,
            clock=self._clock,
            sleep=self._sleep,
            pipeline_passed=self._pipeline_passed,
            orphans_are_final=orphans_are_final,
        )
        orphans = []
        for settled in settler.settle(suspects):
            if settled.state is None:
                orphans.append(settled.suspect)
                continue
            self._tally.settled(settled)
            self._open_suspects -= 1
            self._report()
        return orphans

    def _second_look(self, suspects: list[Suspect]) -> None:
        """One more pass over the source for target items that no source item was seen to claim."""
        self._phase = "second pass"
        search = Orphans(self._judge, suspects)
        ended: set[int] = set()

        def read_source(segment: int) -> None:
            last: Page | None = None
            for page, at in self._pages(Role.SOURCE, segment, again=True):
                search.add_source(page, at)
                last = page
            if last is not None and last.last_key is None:
                with self._lock:
                    ended.add(segment)

        self._for_each_segment(read_source)
        reason = ""
        if len(ended) < len(self._plan.segments):
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

    def _comparison(self, started: float) -> Comparison:
        tally, planned = self._tally, self._plan
        finished = self._finished[Role.SOURCE] & self._finished[Role.TARGET]
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
            unexamined=tuple(self._unexamined),
            notes=tuple(self._notes(finished)),
        )

    def _facts(self, role: Role, items: int) -> SideFacts:
        reader = self._readers[role]
        return SideFacts(
            items=items,
            scanned=self._scanned[role],
            read_units=reader.read_units,
            requests=reader.requests,
        )

    def _notes(self, finished: set[int]) -> Iterator[str]:
        tally, planned = self._tally, self._plan
        if self._judge.form.ignore:
            paths = ", ".join(sorted(map(show_path, self._judge.form.ignore)))
            yield f"left out by `ignore`: {paths}"
        if tally.dropped:
            yield f"{tally.dropped} source items are dropped by the transform; they count as excluded"
        if tally.by_time_only:
            yield (
                f"{tally.by_time_only} differences were decided by the settle time of "
                f"{self._settings.settle:g} s alone: nobody knew whether the pipeline had passed them"
            )
        if planned.is_sample:
            mismatching = len(tally.mismatching_segments & finished)
            bound = sampling.mismatch_bound(planned.total, len(finished), mismatching)
            yield (
                f"a sample: {len(finished)} of {planned.total} segments were read; with 95 % confidence "
                f"at most {bound:.2%} of the segments hold a mismatch"
            )

    def _report(self) -> None:
        if self._progress is None:
            return
        finished = self._finished[Role.SOURCE] & self._finished[Role.TARGET]
        self._progress(
            Progress(
                phase=self._phase,
                segments_finished=len(finished),
                segments_planned=len(self._plan.segments),
                source_items=self._scanned[Role.SOURCE],
                target_items=self._scanned[Role.TARGET],
                read_units=sum(reader.read_units for reader in self._readers.values()),
                open_suspects=self._open_suspects,
            )
        )


class _PointReads:
    """`settle.PointReads` by way of two readers."""

    def __init__(self, readers: dict[Role, Reader], judge: Judge) -> None:
        self._readers = readers
        self._schemas: dict[Role, KeySchema] = {
            Role.SOURCE: judge.transform.source_keys,
            Role.TARGET: judge.transform.target_keys,
        }

    def source(self, keys: Sequence[JoinKey]) -> Sequence[PointRead]:
        return self._get(Role.SOURCE, keys)

    def target(self, keys: Sequence[JoinKey]) -> Sequence[PointRead]:
        return self._get(Role.TARGET, keys)

    def _get(self, role: Role, keys: Sequence[JoinKey]) -> Sequence[PointRead]:
        return self._readers[role].get_items([typed_key(key, self._schemas[role]) for key in keys])
