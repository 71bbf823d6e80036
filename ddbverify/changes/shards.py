"""The shards of a stream as DescribeStream lists them, and which of them can be read now. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ddbverify.changes.places import ENDED, Kind, Place


class Gap(Exception):
    """Records may be gone that were not read; the text says which, in words."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard: it is read behind its parent, since a key's later changes are in the child."""

    id: str
    parent: str | None
    is_closed: bool  # it takes no more records


def first_places(shards: Iterable[Shard], since_epoch: int) -> dict[str, Place]:
    """
    Where a reading begins that needs what was written from *since_epoch* on, and nothing older.

    What is in a closed shard was written before it was listed as closed.

    Args:
        shards: As listed after that moment.
        since_epoch: Seconds since the epoch, stepped back.
    """
    return {shard.id: ENDED if shard.is_closed else Place.since(since_epoch) for shard in shards}


def earlier_places(shards: Iterable[Shard], since_epoch: int) -> dict[str, Place]:
    """
    As `first_places`, of a moment that has passed: a shard may have been closed since.

    Args:
        shards: As listed now.
        since_epoch: Seconds since the epoch, stepped back.
    """
    return {
        shard.id: Place.closed(since_epoch) if shard.is_closed else Place.since(since_epoch)
        for shard in shards
    }


def without_forgotten(shards: Iterable[Shard], places: Mapping[str, Place]) -> dict[str, Place]:
    """
    *places*, of which shards that were closed then and are not listed any more are done with.

    A stream lists a shard as long as it keeps a record of it, which is 24 hours: what a closed one has held
    is older than that, and so than any place that may be gone on from.
    """
    listed = {shard.id for shard in shards}
    return {
        shard_id: ENDED if place.kind is Kind.CLOSED and shard_id not in listed else place
        for shard_id, place in places.items()
    }


def need_no_gap(shards: Iterable[Shard], places: Mapping[str, Place]) -> None:
    """
    Make sure that what is behind *places* is still to be had.

    Raises:
        Gap: A shard that was not read to its end is not listed any more, or one is listed that comes of none
            that is known: what lay between is gone.
    """
    listed = {shard.id: shard for shard in shards}
    for shard_id, place in places.items():
        if place != ENDED and shard_id not in listed:
            raise Gap("a shard of the stream is gone that was not read to its end")
    for shard in listed.values():
        if shard.id not in places and (shard.parent is None or not _is_known(shard.parent, listed, places)):
            raise Gap("the stream has a shard that comes of none that is known")


def readable(shards: Iterable[Shard], places: Mapping[str, Place]) -> Iterator[Shard]:
    """Those that are not read to their end, and whose parents are."""
    for shard in shards:
        if places.get(shard.id) == ENDED:
            continue
        if shard.id in places or places.get(shard.parent or "") == ENDED:
            yield shard


def childless(shards: Iterable[Shard], ended: Iterable[str]) -> set[str]:
    """
    Those of *ended* that no listed shard comes of.

    A closed shard has a successor as long as its stream is on; one that is not listed yet is no end.
    """
    return set(ended) - {shard.parent for shard in shards}


def _is_known(shard_id: str, listed: Mapping[str, Shard], places: Mapping[str, Place]) -> bool:
    """Whether a shard has a place, or comes of one that has."""
    seen = set[str]()
    while shard_id not in places:
        shard = listed.get(shard_id)
        if shard is None or shard.parent is None or shard_id in seen:
            return False
        seen.add(shard_id)
        shard_id = shard.parent
    return True
