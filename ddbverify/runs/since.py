"""
What a run reads of the streams before its checks begin: where a later one can go on, and what has changed.

All of it is done here, in the parent of the checks: nothing of the user's code has a say in which keys are
looked at.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from ddbverify.changes.following import changed_keys, places_now
from ddbverify.changes.places import Places
from ddbverify.changes.shards import Gap
from ddbverify.changes.wire import StreamWire
from ddbverify.config import Config, Pair, Side
from ddbverify.errors import ConfigurationError, EngineError
from ddbverify.evidence import folders, links
from ddbverify.evidence.evidence import Evidence
from ddbverify.evidence.links import Link, PairPlaces
from ddbverify.evidence.record import Fact
from ddbverify.gate.links import not_on_from
from ddbverify.items.keys import JoinKey, typed_key
from ddbverify.tables import table as tables
from ddbverify.tables.table import Table
from ddbverify.words import number_of, plain


@dataclass(frozen=True, slots=True)
class Predecessor:
    """The run that one goes on from."""

    evidence: Evidence
    sha256: str


@dataclass(frozen=True, slots=True)
class Streams:
    """What a run has learned of the streams."""

    facts: tuple[Fact, ...]
    changed: Path | None = None  # folder with the keys to look at; None: the tables are read
    why_full: str = ""  # the tables are read although changes were asked for

    def forget(self, config: Config) -> None:
        """Remove the files of keys, which nobody needs any more."""
        if self.changed is None:
            return
        for pair in config.tables:
            folders.changed_keys(self.changed, pair.id).unlink(missing_ok=True)


LEAST_LAG_SECONDS: Final = 5.0


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
    say: Callable[[str], None],
) -> Streams:
    """
    Read the streams, before anything of the tables is read.

    Args:
        config: The settings.
        folder: Of the run.
        since: What it goes on from; why there is nothing; ``None``: that was not asked for.
        lag_seconds: For so long no record may come before a stream's end is believed.
        say: Is told, a line each, what was found.
    """
    why = since if isinstance(since, str) else ""
    if isinstance(since, Predecessor):
        try:
            return _link(config, folder, since, lag_seconds, say)
        except Gap as error:
            why = str(error)
        except EngineError as error:
            why = error.message
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
    except EngineError as error:
        yield Fact(name="no-places", about=pair.id, value=plain(error.message))


def _places_now(config: Config, pair: Pair) -> PairPlaces:
    if pair.rekeys:
        raise Gap("it is re-keyed, and a change of the source names no key of the target")
    if config.verification.coverage != "full":
        raise Gap("a sample is read")
    source, target = (tables.describe(side, name) for side, name in _sides(config, pair))
    ours, theirs = (
        places_now(_stream(side, table, role), tables.server_time(side, name))
        for role, (side, name), table in zip(links.SIDES, _sides(config, pair), (source, target), strict=True)
    )
    return PairPlaces(ours, theirs, _ttl(source, target))


def _link(
    config: Config, folder: Path, since: Predecessor, lag_seconds: float, say: Callable[[str], None]
) -> Streams:
    """Look at what has changed. Raises Gap, EngineError where that is not to be had."""
    facts, changed = list[Fact](), dict[str, int]()
    for pair in config.tables:
        before = links.places_of(since.evidence, pair.id)
        if before is None:
            raise Gap(links.why_none(since.evidence, pair.id) or "it names no places in the streams")
        keys, after, schema = _read(config, pair, before, lag_seconds)
        why = not_on_from(before, after)
        if why:
            raise Gap(why)
        facts += after.facts(pair.id)
        changed[pair.id] = len(keys)
        _write(folders.changed_keys(folder, pair.id), keys, schema)
        say(f"{pair}: {number_of(len(keys), 'key')} written since {since.evidence.run_id}")
    base = links.link_of(since.evidence)
    link = Link(since.sha256, base.base if base else since.sha256, lag_seconds)
    return Streams((*link.facts(changed), *facts), folder)


def _read(
    config: Config, pair: Pair, before: PairPlaces, lag_seconds: float
) -> tuple[frozenset[JoinKey], PairPlaces, Mapping[str, str]]:
    """The keys written on either side, where the next reading goes on, and the source's key schema."""
    keys, after, described = frozenset[JoinKey](), list[Places](), list[Table]()
    for role, (side, name) in zip(links.SIDES, _sides(config, pair), strict=True):
        table = tables.describe(side, name)
        found, places = changed_keys(
            _stream(side, table, role),
            getattr(before, role),
            lag_seconds=lag_seconds,
            server_time=partial(tables.server_time, side, name),
        )
        keys |= found
        after.append(places)
        described.append(table)
    (ours, theirs), (source, target) = after, described
    return keys, PairPlaces(ours, theirs, _ttl(source, target)), source.key_schema


def _stream(side: Side, table: Table, role: str) -> StreamWire:
    if table.stream_arn is None:
        raise Gap(f"the {role} has no stream")
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
