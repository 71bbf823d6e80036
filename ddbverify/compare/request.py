"""What one pass over a pair is asked to do, and who is told what while it runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ddbverify.compare.inspection import Inspector, ItemCheck, Refutation
from ddbverify.compare.settle import PipelinePassed
from ddbverify.items.keys import JoinKey
from ddbverify.items.states import Difference, State
from ddbverify.items.transform import Transform
from ddbverify.plugins.loading import Plugins
from ddbverify.tables.segments import SEGMENTS_AT_ONCE


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
    counts: Mapping[State, int] = field(default_factory=dict)  # decided so far; still counting
    converged: int = 0  # that differed at first, and then did not
    slowest_convergence_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PassRequest:
    """
    What one pass is asked to do, beside what the configuration says of its pair.

    Args:
        sample: Fraction of the segments to read; ``None`` for all of them.
        seed: Of the sample; one is drawn and recorded by default.
        segments: How many there are; chosen by the tables' size by default, see `segments.cut`.
        transform: What a source item becomes; by default the pair's own, loaded by the pass.
        checkpoint: File that keeps how far the pass is; where there is one, the pass goes on
            from it. Of a re-keyed pair, whose segments have nothing to do with each other, the
            keys that were read are kept in a folder beside it.
        changed: Keys that were written since an earlier pass. Only these are looked at, each by itself, and
            no segment is read; ``None``: the pass reads the tables. Not of a re-keyed pair.
        still: The sides do not move: what was seen to differ differs, and nothing is looked at again. Not
            with a checkpoint.
        strata: Keys to look up beside a sample, by the name of their list; reported apart from it.
        item_checks: Run on every pair of items that belong together; not with a checkpoint, which
            does not know what they said before.
        plugins: Asked about items that differ, and whether the pipeline has passed; not with a
            checkpoint, for the same reason.
        secret: Key of the digests; one is drawn by default. A checkpoint goes on with its own.
        covered: Attributes that `Comparison.controls` has to alter.
    """

    sample: float | None = None
    seed: int | None = None
    segments: int | None = None
    transform: Transform | None = None
    checkpoint: Path | None = None
    changed: Sequence[JoinKey] | None = None
    still: bool = False
    strata: Mapping[str, Sequence[JoinKey]] = field(default_factory=dict)
    item_checks: Sequence[ItemCheck] = ()
    plugins: Plugins | None = None
    secret: bytes | None = field(default=None, repr=False)
    covered: Iterable[str] = ()

    def __post_init__(self) -> None:
        if self.checkpoint is not None and (self.item_checks or self.plugins):
            raise ValueError("a pass with checks on items, or with plugins, cannot be resumed")


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the user's code that is under way in another process."""

    process: int
    number: int  # another one for every call
    check: str | None = None  # its id; None: the transform


class Elsewhere:
    """The other processes of a pass, as somebody sees them who watches over the user's code."""

    def __init__(self) -> None:
        """There are none yet."""
        self.ask: Callable[[], Call | None] = lambda: None

    @property
    def call(self) -> Call | None:
        """The call that is under way for the longest."""
        return self.ask()


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """
    Who is told what while a pass runs.

    Args:
        progress: Now and then how far the pass is, from any thread.
        found: Every difference as soon as it is decided, one call at a time.
        refuted: Every item that a check on items failed on, one call at a time.
        inspecting: What calls the checks on items, before the first is called.
        elsewhere: Knows which call of the user's code is under way in other processes.
    """

    progress: Callable[[Progress], None] | None = None
    found: Callable[[Difference], None] | None = None
    refuted: Callable[[Refutation], None] | None = None
    inspecting: Callable[[Inspector], None] | None = None
    elsewhere: Elsewhere | None = None


def steady_clock() -> Callable[[], float]:
    """A clock in seconds since the epoch that no adjustment of the machine's sets back."""
    epoch, started = time.time(), time.monotonic()
    return lambda: epoch + (time.monotonic() - started)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """
    What a pass runs on.

    Args:
        clock: Seconds since the epoch, never going back.
        sleep: Waits for so many seconds.
        threads: That read segments, at most.
        stop: Set when the pass ends early; the readers' own, too.
        pipeline_passed: See `PipelinePassed`; without it, the settle time decides.
    """

    clock: Callable[[], float] = field(default_factory=steady_clock)
    sleep: Callable[[float], None] = time.sleep
    threads: int = SEGMENTS_AT_ONCE
    stop: threading.Event = field(default_factory=threading.Event)
    pipeline_passed: PipelinePassed | None = None
