"""
What a session of checks tells whoever judges it: one JSON object a line, written as it happens.

pytest's exit status cannot be believed (it is 0 for skipped checks and for `os._exit(0)` inside
one), so the child writes this file and the parent reads it. A file without its last line is the
record of a session that died; what it did hold still counts as evidence of what was done.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from ddbverify.compare.comparison import Comparison, DifferentIn, EqualBy, KnownKeys
from ddbverify.evidence.strict import Strict
from ddbverify.items.states import State
from ddbverify.plugins.loading import PluginRecord
from ddbverify.suite.marks import Coverage, Severity
from ddbverify.tables.table import Table
from ddbverify.words import number_of

_Count = Annotated[int, Meta(ge=0)]
_Units = Annotated[float, Meta(ge=0)]


class CheckState(StrEnum):
    """Where a check stands at the end. Only `PASSED` opens anything."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    SKIPPED = "skipped"
    XFAILED = "xfailed"
    DESELECTED = "deselected"
    ERRORED = "errored"
    NOT_RUN = "not-run"
    NOT_APPLICABLE = "not-applicable"  # of the default suite only: another check says the same of the pair


class CheckRecord(Strict, frozen=True, gc=False):  # there are thousands, and no cycle can go through one
    """One check on one pair."""

    id: str  # pytest's node id, from the checks folder
    name: str  # file.py::function
    pair: str | None  # id of the pair; None for a check that takes none
    state: CheckState
    examined: int = 0
    findings: int = 0
    tolerated: int = 0  # so many findings are allowed
    severity: Severity = Severity.ERROR
    coverage: Coverage = Coverage.FULL  # how much it has to have seen
    seconds: float = 0.0  # in the check itself, the shared pass apart
    accepted: tuple[str, ...] = ()  # what differs and may, in words
    only_churning: bool = False  # inconclusive, and for no other reason than keys that never held still
    claims: tuple[str, ...] = ()  # what it would have noticed: see `ddbverify.suite.blindness.claims_of`
    why: str = ""  # it has not passed, in one line: no finding, no key, no hash of one

    @property
    def is_open(self) -> bool:
        """Whether its claim has not been shown to hold, and nothing else shows it."""
        return self.state not in (CheckState.PASSED, CheckState.NOT_APPLICABLE)

    @property
    def counts(self) -> bool:
        """Whether the run's verdict and the gate depend on it."""
        return self.severity is Severity.ERROR


class TableRecord(Strict, frozen=True):
    """One table, so that another one under the same name can be told apart."""

    arn: str
    id: str
    created_epoch: float

    @classmethod
    def of(cls, table: Table) -> TableRecord:
        """Keep what identifies *table*."""
        return cls(arn=table.arn, id=table.id, created_epoch=table.created_epoch)


class ComparisonRecord(Strict, frozen=True):
    """The shared pass over one pair, in numbers."""

    counts: Mapping[str, _Count]
    examined: _Count
    source_items: _Count
    target_items: _Count
    source_read_units: _Units
    target_read_units: _Units
    requests: _Count
    segments_planned: _Count
    segments_finished: _Count
    segments_total: _Count
    seed: int | None
    converged: _Count
    equal_by: tuple[EqualBy, ...]  # by the word of plugins only
    known: tuple[KnownKeys, ...]  # accepted by plugins
    different_in: tuple[DifferentIn, ...]  # where the different ones differ
    different_told: _Count  # of the different ones, those whose every difference stands there
    different_by_cause: _Count  # of the missing, extraneous and different: an upper bound
    notes: tuple[str, ...]  # what else has to be known of the pass, in words
    started_epoch: float
    ended_epoch: float
    unexamined: tuple[str, ...]

    @classmethod
    def of(cls, comparison: Comparison) -> ComparisonRecord:
        """Leave out everything that names a key."""
        source, target = comparison.source, comparison.target
        return cls(
            counts={str(state): count for state, count in sorted(comparison.counts.items())},
            examined=comparison.examined,
            source_items=source.items,
            target_items=target.items,
            source_read_units=source.read_units,
            target_read_units=target.read_units,
            requests=source.requests + target.requests,
            segments_planned=comparison.segments_planned,
            segments_finished=comparison.segments_finished,
            segments_total=comparison.segments_total,
            seed=comparison.seed,
            converged=comparison.converged,
            equal_by=comparison.equal_by,
            known=comparison.known,
            different_in=comparison.different_in,
            different_told=comparison.different_told,
            different_by_cause=comparison.different_by_cause,
            notes=comparison.notes,
            started_epoch=comparison.started_epoch,
            ended_epoch=comparison.ended_epoch,
            unexamined=comparison.unexamined,
        )

    @property
    def shortcoming(self) -> str | None:
        """Why this is no full pass, in words; ``None`` if it is one."""
        if self.segments_planned < self.segments_total:
            return f"is a sample: {self.segments_planned} of {self.segments_total} segments"
        return self.gap

    @property
    def holds_nothing(self) -> bool:
        """Whether both tables were read to their ends, and neither held an item."""
        return self.shortcoming is None and not any(self.counts.values())

    @property
    def open_keys(self) -> tuple[str, ...]:
        """Keys in no state that says whether they are equal, in words; those that never held still apart."""
        found = ((State.UNDECIDED, "stayed undecided"), (State.UNCOMPARABLE, "cannot be compared"))
        return tuple(
            f"{number_of(self.counts[state], 'key')} {what}"
            for state, what in found
            if self.counts.get(state)
        )

    @property
    def gap(self) -> str | None:
        """What of the planned segments was not read, in words; ``None`` for nothing."""
        if self.segments_finished < self.segments_planned or self.segments_total < 1:
            return f"is incomplete: {self.segments_finished} of {self.segments_planned} segments have an end"
        if self.unexamined:
            return f"is incomplete: {'; '.join(self.unexamined)}"
        return None


class Fact(Strict, frozen=True):
    """
    One further thing that is known of a run. What each name means stands in `FACTS`.

    This is the place for what a later version has to say: a new name needs no new schema, since a
    gate of another version refuses the evidence in any case (the program is bound by digest).
    """

    name: Annotated[str, Meta(pattern="^[a-z][a-z-]*$")]
    about: str  # id of a pair or of a check; empty: the run
    value: int | float | str | tuple[str, ...]


FACTS: Final = {
    "base": "Of a link: SHA-256 of the evidence of the full pass that its chain begins with.",
    "causes": "About a pair: the most frequent ways in which its findings differ, in words without values.",
    "empty": "About a pair: both tables held no item, and the setting that the value names allowed it.",
    "changed": "Of a link, about a pair: how many keys had been written since, on either side.",
    "ends-assumed": "Of a link, about a pair: open shards of both streams whose ends are assumed (`lag`).",
    "ends-proven": "Of a link, about a pair: open shards of both streams whose ends a record has proven.",
    "engine": "About a pair: what has read and compared it, if not this machine; with its version.",
    "full-pass": "The whole tables were read although changes were asked for, and why.",
    "lag": "Of a link: seconds without a record after which a stream was taken to be read to its end.",
    "no-places": "About a pair: why no later run can look at what has changed since this one.",
    "planned-units": "About a pair: read units that one pass over both tables was to cost, by their sizes.",
    "since": "Of a link: SHA-256 of the evidence of the run that it goes on from.",
    "source-export": "About a pair: the exports read in place of the source, the full one first; as JSON.",
    "source-places": "About a pair: where a later run goes on in the source's stream, a line for each shard.",
    "target-export": "About a pair: likewise, of the target.",
    "target-places": "About a pair: where a later run goes on in the target's stream, a line for each shard.",
    "ttl": "About a pair: the attributes by which items of source and target expire.",
    "unbound": "Files of the user's that the checks or a transform have read, and that no digest is over.",
    "whole": "About a check: it has read the comparison as a whole, and cannot be shown changes only.",
}
"""Every name of a `Fact` that this version knows, with its meaning. Another one contradicts the evidence."""


class PairRecord(Strict, frozen=True):
    """What one session read of one pair."""

    id: str
    source: TableRecord | None = None  # None: no check looked
    target: TableRecord | None = None
    comparison: ComparisonRecord | None = None
    refused: bool = False  # AWS refused before anything of the pair was read


@dataclass(slots=True)
class Record:
    """A whole session, as far as its file goes."""

    plugins: dict[str, str] = field(default_factory=dict)
    settings: str = ""  # digest of those that the session went by; empty: it came to no check
    extensions: tuple[PluginRecord, ...] = ()
    checks: dict[str, CheckRecord] = field(default_factory=dict)
    pairs: dict[str, PairRecord] = field(default_factory=dict)
    facts: list[Fact] = field(default_factory=list)
    reads: set[str] = field(default_factory=set)  # files that the user's code read
    compiled: set[tuple[str, str]] = field(default_factory=set)  # path and SHA-256 of each text of the user's
    exit_status: int | None = None  # None: the session never came to its end
    running: str | None = None  # the check that was begun and has not ended
    reading: str | None = None  # the pair whose shared pass was begun and has not ended
    hung: str = ""  # what did not come back, in words
    lost: tuple[str, ...] = ()  # checks that somebody wrote and nothing runs, in words

    @property
    def was_refused(self) -> bool:
        """Whether nothing at all was read, because AWS refused."""
        pairs = self.pairs.values()
        return any(pair.refused for pair in pairs) and not any(pair.comparison for pair in pairs)

    @property
    def is_finished(self) -> bool:
        """Whether the session came to its own end."""
        return self.exit_status is not None


class RecordWriter:
    """Appends to a record; every line is on its way to the disk before the next check starts."""

    def __init__(self, path: Path, failed: Callable[[OSError], None] = lambda _: None) -> None:
        """
        Begin a record.

        Args:
            path: A new file.
            failed: Told of a line that could not be written: what follows would be no record.

        Raises:
            OSError: The file is there already, or cannot be made.
        """
        self._failed = failed
        # A file that is there already is another session's: never add to it.
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)

    def plugins(self, versions: Mapping[str, str]) -> None:
        """Say which plugins were there."""
        self._line("plugins", versions)

    def settings(self, digest: str) -> None:
        """Say by which settings the checks are run."""
        self._line("settings", digest)

    def extensions(self, plugins: Sequence[PluginRecord]) -> None:
        """Say which plugins of our own hooks take part."""
        self._line("extensions", plugins)

    def check(self, check: CheckRecord) -> None:
        """Say where a check stands; the last word on an id counts."""
        self._line("check", check)

    def running(self, check_id: str) -> None:
        """Say that a check begins."""
        self._line("running", check_id)

    def reading(self, pair_id: str) -> None:
        """Say that the shared pass over a pair begins."""
        self._line("reading", pair_id)

    def lost(self, checks: Sequence[str]) -> None:
        """Say which checks somebody wrote and nothing runs."""
        self._line("lost", checks)

    def hung(self, what: str) -> None:
        """Say, from any thread, what did not come back."""
        self._line("hung", what)

    def pair(self, pair: PairRecord) -> None:
        """Say what was read of a pair."""
        self._line("pair", pair)

    def read(self, path: str) -> None:
        """Say, from any thread, that the user's code reads a file."""
        self._line("read", path)

    def compiled(self, path: str, digest: str) -> None:
        """Say which text of a file was compiled."""
        self._line("compiled", (path, digest))

    def fact(self, fact: Fact) -> None:
        """Say something further."""
        self._line("fact", fact)

    def end(self, exit_status: int) -> None:
        """Say that the session came to its own end."""
        self._line("end", exit_status)
        os.close(self._descriptor)

    def _line(self, kind: str, content: Any) -> None:
        line = msgspec.json.encode({kind: content}) + b"\n"
        try:
            written = os.write(self._descriptor, line)
        except OSError as error:
            self._failed(error)
            raise
        if written < len(line):  # what a disk takes that is about to be full
            self._failed(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))


def read(path: Path) -> Record:
    """
    Read a record. Where it stops making sense it is cut short, which leaves it unfinished.

    A missing file is the record of a session that did nothing.
    """
    record = Record()
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return record
    for line in lines:
        try:
            _take(record, line)
        except (msgspec.MsgspecError, ValueError):
            record.exit_status = None
            return record
    return record


_LINES: Final[Mapping[str, Any]] = {
    "plugins": dict[str, str],
    "settings": str,
    "extensions": tuple[PluginRecord, ...],
    "check": CheckRecord,
    "running": str,
    "reading": str,
    "hung": str,
    "lost": tuple[str, ...],
    "pair": PairRecord,
    "fact": Fact,
    "read": str,
    "compiled": tuple[str, str],
    "end": int,
}
"""Kind of a line -> what it holds."""


def _take(record: Record, line: bytes) -> None:
    if record.is_finished:
        raise ValueError("a line after the end")
    ((kind, content),) = msgspec.json.decode(line, type=dict[str, msgspec.Raw]).items()
    if kind not in _LINES:
        raise ValueError("an unknown kind of line")
    said = msgspec.json.decode(content, type=_LINES[kind])
    match kind:
        case "check":
            record.checks[said.id] = said
            if said.id == record.running:
                record.running = None
        case "pair":
            record.pairs[said.id] = said
            if said.id == record.reading:
                record.reading = None
        case "fact":
            record.facts.append(said)
        case "read":
            record.reads.add(said)
        case "compiled":
            record.compiled.add(said)
        case "end":
            record.exit_status = said
        case _:
            setattr(record, kind, said)
