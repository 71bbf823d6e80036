"""
A run that looks only at what was written since an earlier one: how its evidence says so. Pure.

A *base* is a full pass. A *link* names the run that it goes on from, the base or a link, by the digest of its
evidence. Both name the places in the streams of each pair from which the next one goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ddbverify.changes.following import BEFORE_AN_EXPORT_SECONDS
from ddbverify.changes.places import Places
from ddbverify.evidence.evidence import Evidence
from ddbverify.evidence.record import Fact
from ddbverify.words import number_of

SIDES: Final = ("source", "target")


@dataclass(frozen=True, slots=True)
class PairPlaces:
    """Where the next run goes on in both streams of a pair, and what it has to find unchanged."""

    source: Places
    target: Places
    ttl: str  # the attributes of both tables by which items expire

    def facts(self, pair_id: str) -> Iterator[Fact]:
        """As evidence states it."""
        yield Fact(name="source-places", about=pair_id, value=self.source.as_texts())
        yield Fact(name="target-places", about=pair_id, value=self.target.as_texts())
        yield Fact(name="ttl", about=pair_id, value=self.ttl)


@dataclass(frozen=True, slots=True)
class Link:
    """What a run says of itself that goes on from an earlier one."""

    since: str  # SHA-256 of that one's evidence
    base: str  # likewise, of the full pass
    lag_seconds: float  # for so long no record had come where a stream was taken to be read to its end

    def facts(self, changed: Mapping[str, int]) -> Iterator[Fact]:
        """As evidence states it; *changed*: pair -> keys that were looked at."""
        yield Fact(name="since", about="", value=self.since)
        yield Fact(name="base", about="", value=self.base)
        yield Fact(name="lag", about="", value=self.lag_seconds)
        for pair_id, keys in changed.items():
            yield Fact(name="changed", about=pair_id, value=keys)


@dataclass(frozen=True, slots=True)
class Ends:
    """How a link knows that it has read the open shards of both streams of a pair to their ends."""

    proven: int  # by a record that was written after the reading had begun
    assumed: int  # since none had come for a time

    def facts(self, pair_id: str) -> Iterator[Fact]:
        """As evidence states it."""
        yield Fact(name="ends-proven", about=pair_id, value=self.proven)
        yield Fact(name="ends-assumed", about=pair_id, value=self.assumed)

    def in_words(self, lag_seconds: float) -> str:
        """For people."""
        if not self.assumed:
            return f"the ends of all {number_of(self.proven, 'open shard')} are proven by records"
        return (
            f"of {number_of(self.assumed, 'open shard')} the end is assumed, since no record came "
            f"([cutover] stream_lag is {lag_seconds:g} s); of {self.proven} it is proven by records"
        )


def ends_of(found: Evidence, pair_id: str) -> Ends | None:
    """How a link knows the ends of a pair's streams; ``None``: it does not say."""
    said = _about(found.facts, pair_id)
    proven, assumed = said.get("ends-proven"), said.get("ends-assumed")
    return Ends(proven, assumed) if isinstance(proven, int) and isinstance(assumed, int) else None


def ends_in_words(found: Evidence) -> str:
    """How a link knows the ends of all its streams, for people; empty where it does not say."""
    link, ends = link_of(found), [ends_of(found, pair_id) for pair_id in changed_in(found)]
    known = [one for one in ends if one is not None]
    if link is None or not known or len(known) < len(ends):
        return ""
    whole = Ends(sum(one.proven for one in known), sum(one.assumed for one in known))
    return whole.in_words(link.lag_seconds)


def link_of(found: Evidence) -> Link | None:
    """What *found* goes on from; ``None``: it is no link, or does not say all of it."""
    said = _about(found.facts, "")
    since, base, lag = said.get("since"), said.get("base"), said.get("lag")
    if isinstance(since, str) and isinstance(base, str) and isinstance(lag, int | float):
        return Link(since, base, float(lag))
    return None


def is_link(found: Evidence) -> bool:
    """Whether a run says that it has looked at changes only."""
    return any(fact.name == "since" for fact in found.facts)


def places_of(found: Evidence, pair_id: str) -> PairPlaces | None:
    """Where the next run can go on with a pair; ``None``: nowhere."""
    said = _about(found.facts, pair_id)
    source, target, ttl = (said.get(name) for name in ("source-places", "target-places", "ttl"))
    if not (isinstance(source, tuple) and isinstance(target, tuple) and isinstance(ttl, str)):
        return None
    try:
        return PairPlaces(Places.of_texts(source), Places.of_texts(target), ttl)
    except ValueError:
        return None


def why_none(found: Evidence, pair_id: str) -> str:
    """Why no run can go on from *found*, as far as it knows; empty where it does not."""
    said = _about(found.facts, pair_id).get("no-places", "")
    return said if isinstance(said, str) else ""


def exports_of(found: Evidence) -> Iterator[tuple[str, str, float | None]]:
    """
    The sides that a run has read from exports: pair, ``source`` or ``target``, and the moment that was shown.

    ``None``: the evidence does not say that.
    """
    for fact in found.facts:
        role, _, what = fact.name.partition("-")
        if what == "export":
            yield fact.about, role, _moment_of(fact.value)


def _moment_of(lines: object) -> float | None:
    """The end of the last of an export's documents: incremental ones carry the full one on."""
    try:
        moments = [json.loads(line)["until"] for line in lines if isinstance(line, str)]  # type: ignore[attr-defined]
    except (TypeError, ValueError, KeyError):
        return None
    known = [float(one) for one in moments if isinstance(one, int | float)]
    return max(known) if known and len(known) == len(moments) else None


def why_not_since_exports(found: Evidence) -> str:
    """
    Why a reading that goes on from *found* would pass over what its exports lack, in words.

    Empty where none was read, or where each place lies before the moment of the side's export.
    """
    for pair_id, role, moment in exports_of(found):
        places = places_of(found, pair_id)
        if places is None:
            continue  # then nothing goes on from it anyway, for a reason of its own
        taken = getattr(places, role).taken_epoch
        if moment is None or taken > moment - BEFORE_AN_EXPORT_SECONDS:
            return (
                f"of {pair_id} the {role} was read from an export, and its places in the stream are of later"
            )
    return ""


def shown_epoch(found: Evidence) -> float:
    """The earliest moment that a run speaks of: its end, or the time of an export that it has read."""
    return min([found.ended_epoch, *(moment or 0.0 for _, _, moment in exports_of(found))])


def changed_in(found: Evidence) -> dict[str, int]:
    """How many keys a link has looked at, by pair; nothing for a full pass."""
    return {
        fact.about: fact.value
        for fact in found.facts
        if fact.name == "changed" and isinstance(fact.value, int)
    }


def why_full(found: Evidence) -> str | None:
    """Why the whole tables were read although changes were asked for; ``None`` where they were not."""
    said = _about(found.facts, "").get("full-pass")
    return said if isinstance(said, str) else None


def reads_whole(found: Evidence) -> list[str]:
    """The checks that count and that cannot be shown changes only, by their names."""
    ids = {fact.about for fact in found.facts if fact.name == "whole"}
    return sorted({check.name for check in found.checks if check.id in ids and check.counts})


def why_no_base(found: Evidence) -> str:
    """Why what *found* says of all keys is not known of them any more once some have changed, in words."""
    if found.verdict == "failed":
        return f"{found.run_id} has not passed"
    for check in found.checks:
        if check.counts and check.findings:
            tolerated = number_of(check.findings, "finding")
            return f"{check.name} tolerated {tolerated}, and how many there are by now only a full pass says"
    if whole := reads_whole(found):
        return (
            f"{whole[0]} reads the comparison as a whole, so that changes alone say nothing to it "
            "(see @check(by_key=True))"
        )
    return ""


def _about(facts: Iterable[Fact], about: str) -> dict[str, object]:
    return {fact.name: fact.value for fact in facts if fact.about == about}
