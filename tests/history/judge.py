"""
The checker: a journal and what the tables hold in the end. Pure, and nothing of the product's.

Modelled on Jepsen's: what was acknowledged has to be there, what has no answer may be there or
not, and nothing else may be. An empty history proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.history.journal import Entry, Said

Item = Mapping[str, Any]
State = Item | None  # ``None``: the key has no item


@dataclass(slots=True)
class Judgement:
    """Keys, by what is wrong with them; all lists empty and something acknowledged means it holds."""

    acknowledged: int = 0
    unknown: int = 0
    recovered: int = 0  # keys whose last write has no answer, and happened all the same
    lost: list[str] = field(default_factory=list)  # the target has no item, and should
    resurrected: list[str] = field(default_factory=list)  # it has one, and should not
    stale: list[str] = field(default_factory=list)  # it has another one than it should
    unexpected: list[str] = field(default_factory=list)  # nobody ever wrote that key
    impossible: list[str] = field(default_factory=list)  # the source itself holds what nobody left there
    backwards: list[str] = field(default_factory=list)  # the target went back to an older state

    @property
    def holds(self) -> bool:
        """Whether something was written, and nothing is wrong."""
        wrong = (self.lost, self.resurrected, self.stale, self.unexpected, self.impossible, self.backwards)
        return self.acknowledged > 0 and not any(wrong)

    def __str__(self) -> str:
        return (
            f"lost {len(self.lost)}, resurrected {len(self.resurrected)}, stale {len(self.stale)}, "
            f"unexpected {len(self.unexpected)}, impossible {len(self.impossible)}, "
            f"backwards {len(self.backwards)} "
            f"({self.acknowledged} acknowledged, {self.unknown} unknown, {self.recovered} recovered)"
        )


def judge(
    history: Iterable[Entry],
    source: Mapping[str, Item],
    target: Mapping[str, Item],
    *,
    expected: Any = lambda item: item,
) -> Judgement:
    """
    Hold the end of a migration against its history.

    Args:
        history: Every write, in the order of the journal; the writes of a key follow each other.
        source: Key -> item of the source at the end, after the last write.
        target: Source key -> item of the target, once all has arrived.
        expected: What the target holds for a source item; ``None`` where it holds nothing.
    """
    found = Judgement()
    possible: dict[str, list[State]] = {}
    asked: dict[int, Entry] = {}
    for entry in history:
        if entry.said is Said.INVOKED:
            asked[entry.operation] = entry
            # Until it is answered it may have happened: an answer that never comes leaves it so.
            possible.setdefault(entry.key, [None]).append(entry.item)
        elif entry.said is Said.ACKNOWLEDGED:
            found.acknowledged += 1
            possible[entry.key] = [entry.item]
            del asked[entry.operation]
        else:
            found.unknown += 1
            del asked[entry.operation]
    found.unknown += len(asked)  # a writer that died in the middle
    for key, states in possible.items():
        there = source.get(key)
        if there not in states:
            found.impossible.append(key)
        elif len(states) > 1 and there == states[-1] != states[0]:
            found.recovered += 1
        _compare(found, key, None if there is None else expected(there), target.get(key))
    found.unexpected += sorted(target.keys() - possible.keys())
    return found


def _compare(found: Judgement, key: str, wanted: State, there: State) -> None:
    if wanted == there:
        return
    if there is None:
        found.lost.append(key)
    elif wanted is None:
        found.resurrected.append(key)
    else:
        found.stale.append(key)


def backwards(versions: Iterable[tuple[str, int | None]]) -> list[str]:
    """
    Keys whose target item went back to an older state.

    Args:
        versions: In the order in which the target took them: a key, and the version that it
            holds from then on; ``None`` for a removal.
    """
    newest: dict[str, int] = {}
    gone: set[str] = set()
    wrong: dict[str, None] = {}
    for key, version in versions:
        if version is None:
            gone.add(key)
            continue
        # Written again as it was is harmless; what was removed comes back with a later version only.
        if version < newest.get(key, -1) or (key in gone and version == newest.get(key)):
            wrong[key] = None
        newest[key] = max(version, newest.get(key, -1))
        gone.discard(key)
    return list(wrong)


def told(found: Judgement, of: Sequence[str] = ()) -> str:
    """The judgement with up to five keys of each kind, for a failed test."""
    kinds = of or ("lost", "resurrected", "stale", "unexpected", "impossible", "backwards")
    return "\n".join([str(found), *(f"{kind}: {getattr(found, kind)[:5]}" for kind in kinds)])
