"""
Base and links: whether a run that has looked at changes only stands on a full pass, without a gap.

Each run of the chain has to have passed by itself, about the same tables, settings, checks and programs, with
the same streams; each begins where the one before it ended. What one let pass undecided was written under
way, so the next one meets it again in the streams. Pure but for files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from ddbverify.changes.following import LONGEST_SECONDS
from ddbverify.config import Config
from ddbverify.evidence import evidence as documents
from ddbverify.evidence import folders, links, row
from ddbverify.evidence.consistency import contradictions
from ddbverify.evidence.envelope import NotTrusted, PublicKey
from ddbverify.evidence.evidence import Evidence
from ddbverify.gate.reasons import INCOMPLETE, STALE, Reason
from ddbverify.gate.requirements import unmet
from ddbverify.suite.definitions import Definition
from ddbverify.words import plain


@dataclass(slots=True)
class Chains:
    """What the runs of a migration say of each other, judged by the settings as they are now."""

    config: Config
    trusted: tuple[PublicKey, ...]
    defined: Mapping[str, Definition]
    now: float  # seconds since the epoch, DynamoDB's
    folder: Path  # runs beside it are found, too
    _beside: row.Beside | None = None
    # By SHA-256: the run, and why none can go on from it.
    _known: dict[str, tuple[Evidence | str, str]] = field(default_factory=dict)

    def broken(self, judged: Evidence) -> Iterator[Reason]:
        """Why a run does not stand on a full pass; nothing for one that is a full pass itself."""
        link = links.link_of(judged)
        if link is None:
            return
        chain, why = self._back_from(judged)
        if why:
            yield Reason("chain", INCOMPLETE, f"{why[0].upper()}{why[1:]}; run again without --since.")
            return
        if why := self._too_old(chain[-1]):
            yield Reason("base", STALE, f"{why}; run again without --since.")

    def _too_old(self, base: Evidence) -> str:
        """Why no link may stand on this full pass any more, in words."""
        age, limit = self.now - links.shown_epoch(base), float(self.config.verification.max_base_age)
        if age <= limit:
            return ""
        return (
            f"The full pass that the run stands on is {age:.0f} s old, and [verification] max_base_age "
            f"allows {limit:.0f} s"
        )

    def bases(self, judged: Evidence) -> tuple[Evidence, ...]:
        """The runs that *judged* goes on from, the nearest first, as far as they are known."""
        return tuple(self._back_from(judged)[0][1:])

    def _back_from(self, judged: Evidence) -> tuple[list[Evidence], str]:
        """The chain from *judged* to its base, and why it ends sooner."""
        first = links.link_of(judged)
        chain, seen, sha256 = [judged], set[str](), ""
        while (link := links.link_of(chain[-1])) is not None:
            sha256 = link.since
            if sha256 in seen:
                return chain, "the runs go on from each other in a circle"
            seen.add(sha256)
            before, why = self._judged(sha256)
            if isinstance(before, str):
                return chain, before
            why = why or self._why_not_from(chain[-1], before)
            if why:
                return chain, why
            chain.append(before)
        if first is not None and sha256 != first.base:
            return chain, "the run names another full pass than the one that its chain leads to"
        if first is not None and (whole := links.reads_whole(judged)):
            return chain, f"{whole[0]} reads the comparison as a whole, and was shown changes only"
        return chain, _not_shown(chain)

    def _judged(self, sha256: str) -> tuple[Evidence | str, str]:
        """A run by its digest, once: a chain has hundreds, and many chains go through each."""
        if sha256 not in self._known:
            found = self._evidence(sha256)
            self._known[sha256] = (found, "" if isinstance(found, str) else self._why_not(found))
        return self._known[sha256]

    def _evidence(self, sha256: str) -> Evidence | str:
        if self._beside is None:
            self._beside = row.Beside(self.config, self.folder)
        content = self._beside.get(sha256)
        if content is None:
            return "the evidence of the run that it goes on from is not here"
        try:
            return documents.decode(content, self.trusted)
        except NotTrusted as error:
            return f"the evidence of the run that it goes on from cannot be used: {error}"

    def _why_not_found(self, sha256: str) -> str:
        """Why no gate would find the evidence, in words: it lies elsewhere."""
        is_here = not isinstance(self._evidence(sha256), str)
        return (
            "" if is_here else "that run is not among those in .ddbverify/runs, where the gate looks for it"
        )

    def _why_not(self, before: Evidence) -> str:
        """Why a run is none that others can go on from, in words."""
        contradiction = next(contradictions(before), None)
        if contradiction is not None:
            return f"the evidence of {before.run_id} contradicts itself: {contradiction}"
        # Keys that never held still were written while it ran: the next run meets them in the streams.
        # What was written since an export, too, where the places lie before it.
        open_still = next(unmet(self.config, before, self.defined, churning=True, exports=True), None)
        if open_still is not None:
            return f"{before.run_id} has not passed: {plain(open_still.message).rstrip('.')}"
        if why := links.why_no_base(before) or links.why_not_since_exports(before):
            return why
        for pair in self.config.tables:
            if links.places_of(before, pair.id) is None:
                said = links.why_none(before, pair.id) or "it names no places in their streams"
                return f"nothing can go on from {before.run_id} for {pair}: {said}"
        return ""

    def _why_not_from(self, after: Evidence, before: Evidence) -> str:
        """Why *after* does not go on from *before*, in words."""
        if row.subject(before) != row.subject(after):
            return f"{before.run_id} was about other tables, settings, checks or programs"
        for pair in self.config.tables:
            here, there = links.places_of(after, pair.id), links.places_of(before, pair.id)
            if here is None or there is None:
                return f"{after.run_id} does not say how far it has read the streams of {pair}"
            why = not_on_from(there, here)
            if why:
                return f"{pair}: {why}"
        return ""

    def newest(self, candidates: Sequence[Path]) -> tuple[Evidence, str] | str:
        """
        The newest run that another one can go on from, and the SHA-256 of its evidence; or why there is none.

        Args:
            candidates: Folders of runs.
        """
        why = "no run has left evidence that is trusted"
        for number, (found, sha256) in enumerate(self._from_newest(candidates)):
            reason = (
                self._why_not(found)
                or self._why_not_found(sha256)
                or next((one.message for one in self.broken(found)), "")
                or self._too_old(found)  # a full pass; of a link its base was asked for
            )
            if not reason:
                return found, sha256
            if number == 0:
                why = reason
        return why

    def _from_newest(self, candidates: Sequence[Path]) -> Iterator[tuple[Evidence, str]]:
        """One after the other: a migration may have left hundreds, and mostly the newest will do."""
        for _, of_a_second in groupby(row.newest_first(candidates), key=lambda one: one[0]):
            known = self._decoded([path for _, path in of_a_second])
            yield from sorted(known, key=lambda one: -one[0].started_epoch)

    def _decoded(self, candidates: Sequence[Path]) -> Iterator[tuple[Evidence, str]]:
        for path in candidates:
            try:
                content = row.content(path)
                yield documents.decode(content, self.trusted), hashlib.sha256(content).hexdigest()
            except NotTrusted:
                continue  # it died, is under way, or is somebody else's


def _not_shown(chain: Sequence[Evidence]) -> str:
    """Of which pair nothing has shown that its checks see what they cover: no item was there to alter."""
    base = chain[-1]
    for run in chain[:-1]:
        changed = links.changed_in(run)
        for pair in base.empty_pairs:
            if changed.get(pair) != 0:
                return f"the tables of {pair} were empty in {base.run_id}, and are not any more"
    return ""


def not_on_from(before: links.PairPlaces, after: links.PairPlaces) -> str:
    """Why a reading that ended at *after* has not begun at *before*, in words; empty where it may have."""
    for side in links.SIDES:
        there, here = getattr(before, side), getattr(after, side)
        if there.stream_arn != here.stream_arn:
            return f"the stream of the {side} is another one"
        if not 0 <= here.taken_epoch - there.taken_epoch <= LONGEST_SECONDS:
            return (
                f"more than {LONGEST_SECONDS // 3600} hours lie between two looks at the stream of the {side}"
            )
    if before.ttl != after.ttl:
        return "other attributes than before let items expire"
    return ""


def candidates(config: Config) -> list[Path]:
    """Folders of the runs that left a trace here, and where ``latest`` points."""
    runs, latest = folders.runs(config), folders.latest(config)
    return [*(runs.iterdir() if runs.is_dir() else ()), *([latest] if latest.exists() else [])]
