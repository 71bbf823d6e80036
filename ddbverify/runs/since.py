"""
What a run reads of the streams before its checks begin: where a later one can go on, and what has changed.

All of it is done here, in the parent of the checks: nothing of the user's code has a say in which keys are
looked at.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from ddbverify.changes.following import Changed, Stopped, changed_keys, places_at, places_now
from ddbverify.changes.places import Places
from ddbverify.changes.shards import Gap
from ddbverify.changes.wire import StreamWire
from ddbverify.config import Config, Pair, Side
from ddbverify.errors import ConfigurationError, EngineError, Inconclusive
from ddbverify.evidence import folders, links
from ddbverify.evidence.evidence import Evidence
from ddbverify.evidence.links import Ends, Link, PairPlaces
from ddbverify.evidence.record import Fact, Record
from ddbverify.exports.export import open_export
from ddbverify.gate.links import not_on_from
from ddbverify.items.keys import JoinKey, marker_keys, typed_key
from ddbverify.tables import table as tables
from ddbverify.tables.table import Table
from ddbverify.words import number_of, plain


@dataclass(frozen=True, slots=True)
class Predecessor:
    """The run that one goes on from."""

    evidence: Evidence
    sha256: str
    empty: frozenset[str] = frozenset()  # pairs without an item in the full pass, so that no control was made


@dataclass(frozen=True, slots=True)
class Streams:
    """What a run has learned of the streams."""

    facts: tuple[Fact, ...]
    changed: Path | None = None  # folder with the keys to look at; None: the tables are read
    why_full: str = ""  # the tables are read although changes were asked for

    def forget(self, config: Config) -> None:
        """Remove the files of keys, which nobody needs any more."""
        if self.changed is not None:
            _forget(config, self.changed)

    def unlooked(self, recorded: Record) -> Iterator[str]:
        """Of which pair other keys were looked at than were handed out, in words."""
        for fact in self.facts if self.changed is not None else ():
            pair = recorded.pairs.get(fact.about)
            if fact.name == "changed" and pair is not None and pair.comparison is not None:
                looked_at = sum(pair.comparison.counts.values())
                if looked_at != fact.value:
                    changed = number_of(int(str(fact.value)), "key")
                    yield f"of {fact.about} {changed} had been written, and {looked_at} were looked at"


def _forget(config: Config, folder: Path) -> None:
    for pair in config.tables:
        folders.changed_keys(folder, pair.id).unlink(missing_ok=True)


LEAST_LAG_SECONDS: Final = 5.0

_STREAMS_AT_ONCE: Final = 40
"""Of 20 pairs; each waits most of the time."""


def require_believable(lag_seconds: float) -> None:
    """
    Refuse a wait after which a stream of AWS's must not be taken to be read to its end.

    Raises:
        ConfigurationError: It is too short.
    """
    if lag_seconds < LEAST_LAG_SECONDS:
        raise ConfigurationError(
            f"[cutover] stream_lag is {lag_seconds:g} s: on AWS a record may be readable later than that.",
            f"use {LEAST_LAG_SECONDS:g}s or more, or run without --since.",
        )


def look(
    config: Config,
    folder: Path,
    since: Predecessor | str | None,
    *,
    lag_seconds: float,
    marked: bool = False,
    say: Callable[[str], None],
) -> Streams:
    """
    Read the streams, before anything of the tables is read.

    Args:
        config: The settings.
        folder: Of the run.
        since: What it goes on from; why there is nothing; ``None``: that was not asked for.
        lag_seconds: For so long no record may come before a stream's end is believed.
        marked: Whether somebody writes markers to both tables meanwhile.
        say: Is told, a line each, what was found.
    """
    why = since if isinstance(since, str) else ""
    if isinstance(since, Predecessor):
        is_read = False  # until then nobody needs the keys, whatever ended it: a gap, Ctrl-C, a full disk
        try:
            found = _link(config, folder, since, lag_seconds, say, marked=marked)
            is_read = True
            return found  # noqa: TRY300 - the clauses below are about what goes before
        except Gap as error:
            why = str(error)
        except EngineError as error:
            why = error.message
        finally:
            if not is_read:
                _forget(config, folder)
    if why:
        say(f"The whole tables are read: {plain(why).rstrip('.')}.")
    full = (Fact(name="full-pass", about="", value=why),) if why else ()
    return Streams((*full, *(fact for pair in config.tables for fact in _base(config, pair))), why_full=why)


def _base(config: Config, pair: Pair) -> Iterator[Fact]:
    """Where a later run can go on, or why it cannot."""
    try:
        yield from _places_now(config, pair).facts(pair.id)
    except Gap as error:
        yield Fact(name="no-places", about=pair.id, value=str(error))
    except (EngineError, Inconclusive, ConfigurationError) as error:  # of an export the pass says so, too
        yield Fact(name="no-places", about=pair.id, value=plain(error.message))


def _places_now(config: Config, pair: Pair) -> PairPlaces:
    if pair.rekeys:
        raise Gap("it is re-keyed, and a change of the source names no key of the target")
    if config.verification.coverage != "full":
        raise Gap("a sample is read")
    source, target = (tables.describe(side, name) for side, name in _sides(config, pair))
    ours, theirs = (
        _places_of(side, name, table, role, pair)
        for role, (side, name), table in zip(links.SIDES, _sides(config, pair), (source, target), strict=True)
    )
    return PairPlaces(ours, theirs, _ttl(source, target))


def _places_of(side: Side, name: str, table: Table, role: str, pair: Pair) -> Places:
    """Of a side that is read from an export, as of that: whatever was written since, nobody reads there."""
    stream, now = _stream(side, table, role), tables.server_time(side, name)
    address = pair.source_export if role == "source" else pair.target_export
    if address is None:
        return places_now(stream, now)
    changes = pair.source_changes if role == "source" else pair.target_changes
    export = open_export(
        address,
        changes,
        side,
        None,
        place=f"[[tables]] {role}_export",
        option=f"{role}_changes",
        is_looked_at=True,
    )
    if export.notes:  # one that may be filtered, or is not proven, is believed by people only
        raise Gap(f"its {role} is read from an export, and {export.notes[0]}")
    if (export.full.table_arn, export.full.table_id) != (table.arn, table.id):
        raise Gap(f"its {role} is read from an export of another table")
    try:
        return places_at(stream, export.until, now)
    except Gap as error:
        raise Gap(f"its {role} is read from an export: {error}") from error


def _link(
    config: Config,
    folder: Path,
    since: Predecessor,
    lag_seconds: float,
    say: Callable[[str], None],
    *,
    marked: bool,
) -> Streams:
    """Look at what has changed. Raises Gap, EngineError where that is not to be had."""
    facts, changed = list[Fact](), dict[str, int]()
    readings = [_Reading.of(config, pair, since.evidence) for pair in config.tables]
    found = _read(readings, lag_seconds, marked=marked)
    for pair, reading, (ours, theirs) in zip(config.tables, readings, found, strict=True):
        keys = (ours.keys | theirs.keys) - marker_keys(reading.schema)
        after = PairPlaces(ours.places, theirs.places, reading.ttl)
        why = not_on_from(reading.before, after)
        if not why and keys and pair.id in since.empty:
            why = "in the full pass the tables were empty, so that no check has shown what it sees of items"
        if why:
            raise Gap(why)
        ends = Ends(ours.proven + theirs.proven, ours.assumed + theirs.assumed)
        facts += [*after.facts(pair.id), *ends.facts(pair.id)]
        if marked and ends.assumed:
            say(f"{pair}: {ends.in_words(lag_seconds)}")
        changed[pair.id] = len(keys)
        _write(folders.changed_keys(folder, pair.id), keys, reading.schema)
        say(f"{pair}: {number_of(len(keys), 'key')} written since {since.evidence.run_id}")
    base = links.link_of(since.evidence)
    link = Link(since.sha256, base.base if base else since.sha256, lag_seconds)
    return Streams((*link.facts(changed), *facts), folder)


@dataclass(frozen=True, slots=True)
class _Reading:
    """Both streams of a pair, and where to go on in them."""

    before: PairPlaces
    streams: tuple[StreamWire, StreamWire]
    server_times: tuple[Callable[[], float], Callable[[], float]]
    ttl: str
    schema: Mapping[str, str]  # of the source's key

    @classmethod
    def of(cls, config: Config, pair: Pair, since: Evidence) -> _Reading:
        """Describe both tables. Raises Gap, EngineError."""
        before = links.places_of(since, pair.id)
        if before is None:
            raise Gap(links.why_none(since, pair.id) or "it names no places in the streams")
        ours, theirs = _sides(config, pair)
        source, target = tables.describe(*ours), tables.describe(*theirs)
        return cls(
            before,
            (_stream(ours[0], source, "source"), _stream(theirs[0], target, "target")),
            (partial(tables.server_time, *ours), partial(tables.server_time, *theirs)),
            _ttl(source, target),
            source.key_schema,
        )


def _read(
    readings: Sequence[_Reading], lag_seconds: float, *, marked: bool
) -> Iterator[tuple[Changed, Changed]]:
    """
    For each pair what was written to source and target.

    All streams at once, since each may be waited for: under a fence nobody can write meanwhile.
    """
    stop = threading.Event()
    with ThreadPoolExecutor(_STREAMS_AT_ONCE, thread_name_prefix="streams") as threads:
        under_way = [
            threads.submit(
                changed_keys,
                stream,
                before,
                lag_seconds=lag_seconds,
                server_time=server_time,
                marked=marked,
                stop=stop,
            )
            for one in readings
            for stream, before, server_time in zip(
                one.streams, (one.before.source, one.before.target), one.server_times, strict=True
            )
        ]
        try:
            failed = [error for one in as_completed(under_way) if (error := one.exception()) is not None]
        finally:
            stop.set()
    for error in sorted(failed, key=lambda one: isinstance(one, Stopped)):
        raise error
    for ours, theirs in zip(under_way[::2], under_way[1::2], strict=True):
        yield ours.result(), theirs.result()


def _stream(side: Side, table: Table, role: str) -> StreamWire:
    if table.stream_arn is None:
        phase = {"source": "up", "target": "restore"}[role]
        raise Gap(
            f"the {role} has no stream (`replicator {phase}` turns it on, or you, without a pipeline); "
            "one that is on counts from the next run without --since"
        )
    return StreamWire(side, table.stream_arn, table.key_schema)


def _sides(config: Config, pair: Pair) -> Sequence[tuple[Side, str]]:
    return (config.source, pair.source), (config.target, pair.target)


def _ttl(source: Table, target: Table) -> str:
    return f"source: {source.ttl_attribute or 'off'}; target: {target.ttl_attribute or 'off'}"


def _write(path: Path, keys: frozenset[JoinKey], schema: Mapping[str, str]) -> None:
    """A line for each key, for nobody else's eyes: they are raw."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for key in keys:
            file.write(msgspec.json.encode(typed_key(key, schema)) + b"\n")
