"""
Findings -> clusters of causes: "98 %: `price` is S instead of N". Pure, in bounded memory.

A million findings usually have three causes. Each finding counts once for each way in which
it differs: its state, or the attribute paths of a difference with their list places left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ddbverify.items.paths import parse_path, show_path
from ddbverify.items.states import State

MOST_CAUSES: Final = 1_000
"""Distinct causes held at once; an item's paths can go through the keys of a map, and those can be data."""

CAUSES_SHOWN: Final = 10

_PLACE = re.compile(r"\\.|\[\d+\]", re.DOTALL)  # an escaped character stays as it is

_IN_WORDS: Final = {
    State.MISSING: "not in the target",
    State.EXTRANEOUS: "in the target only",
    State.DIFFERENT: "different",
    State.UNCOMPARABLE: "cannot be compared",
    State.CHURNING: "never held still",
    State.UNDECIDED: "not decided",
}

_KINDS: Final = {
    "added": "is in the target only",
    "removed": "is not in the target",
    "value": "has another value",
}
_OTHER_TYPE: Final = " instead of "


@dataclass(frozen=True, slots=True)
class Cause:
    """One way in which findings differ."""

    state: State
    text: str  # in words, without values
    findings: int  # that show it; at least so many where `Causes.uncertain` is not 0


class Causes:
    """
    Counts causes over any number of findings.

    Beyond `MOST_CAUSES` distinct ones, the rarest are forgotten so that the frequent ones stay
    (Misra and Gries 1982): no count is too low by more than `uncertain`, and that is less than
    one in `MOST_CAUSES` of all that was counted.
    """

    def __init__(self, most: int = MOST_CAUSES) -> None:
        """Start from nothing, holding at most *most* distinct causes."""
        self.findings = 0
        self.uncertain = 0
        self._most = most
        self._counts: Counter[tuple[State, str]] = Counter()

    def add(self, state: State, paths: Iterable[str] = (), reason: str = "") -> None:
        """
        Count one finding.

        Args:
            state: As found.
            paths: As `explain.differences` says them.
            reason: Why it could not be decided or compared.
        """
        self.findings += 1
        for text in _texts(state, paths, reason):
            self._count((state, text))

    def most_common(self, count: int = CAUSES_SHOWN) -> list[Cause]:
        """The most frequent causes, the commonest first; equally frequent ones by their text."""
        ranked = sorted(self._counts.items(), key=lambda one: (-one[1], one[0]))
        return [Cause(state, _said(state, text), number) for (state, text), number in ranked[:count]]

    def kinds(self) -> Counter[str]:
        """How findings differ, without where: ``missing``, ``added``, ``type``..., and ``other``."""
        found: Counter[str] = Counter()
        for (state, text), number in self._counts.items():
            found[_kind(state, text)] += number
        return found

    @property
    def distinct(self) -> int:
        """Causes held now: all there are where `uncertain` is 0."""
        return len(self._counts)

    def _count(self, cause: tuple[State, str]) -> None:
        if cause in self._counts or len(self._counts) < self._most:
            self._counts[cause] += 1
            return
        self.uncertain += 1
        for held in list(self._counts):
            self._counts[held] -= 1
            if not self._counts[held]:
                del self._counts[held]


def ways(state: State, paths: Iterable[str] = (), reason: str = "") -> tuple[str, ...]:
    """In which ways one finding differs, in the words that `Cause.text` has; arguments as `Causes.add`."""
    return tuple(sorted(_said(state, text) for text in _texts(state, paths, reason)))


def _texts(state: State, paths: Iterable[str], reason: str) -> set[str]:
    texts = {_in_words(path) for path in paths} if state is State.DIFFERENT else set()
    return texts or {reason}


def without_places(path: str) -> str:
    r"""``lines[3].price`` -> ``lines[].price``; a name that holds a bracket (``a\[3\]``) is left alone."""
    return _PLACE.sub(lambda found: found[0] if found[0].startswith("\\") else "[]", path)


def without_depth(path: str) -> str:
    """``info.rating: N -> S`` -> ``info: value``: below it stand the keys of maps, which can be data."""
    name, separator, _ = path.rpartition(": ")
    steps = parse_path(name) if separator else ()
    return f"{show_path(steps[:1])}: value" if len(steps) > 1 else path


@lru_cache(maxsize=4_096)
def _in_words(path: str) -> str:
    """``price: N -> S`` -> "`price` is S instead of N"."""
    name, separator, kind = path.rpartition(": ")
    if not separator:
        # "(and 7 more)", "(somewhere)": not a path. The number would make a cause of each.
        return "more attributes than are listed" if path.startswith("(and ") else path.strip("()")
    shown = f"`{without_places(name)}`"
    expected, changed, found = kind.partition(" -> ")
    if changed:
        return f"{shown} is {found}{_OTHER_TYPE}{expected}"
    return f"{shown} {_KINDS[kind]}" if kind in _KINDS else f"{shown}: {kind}"


def _kind(state: State, text: str) -> str:
    if state in (State.MISSING, State.EXTRANEOUS):
        return str(state)
    if state is not State.DIFFERENT:
        return "other"
    words = text.rpartition("`")[2]  # behind the name, which can hold anything
    if words.startswith(" is ") and _OTHER_TYPE in words:
        return "type"
    return next((kind for kind, said in _KINDS.items() if words == f" {said}"), "other")


def _said(state: State, text: str) -> str:
    if state is State.DIFFERENT:
        return text or _IN_WORDS[state]
    return f"{_IN_WORDS.get(state, str(state))}{f': {text}' if text else ''}"
