"""The findings of a diff: each written at once, counted, and the first of them kept."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ddbverify.compare.causes import Causes
from ddbverify.compare.point_values import PointValues
from ddbverify.diff.folder import DiffFolder
from ddbverify.errors import Inconclusive
from ddbverify.items.states import Difference, State
from ddbverify.words import number_of, were

FINDINGS_SHOWN: Final = 20

STATES: Final = tuple(state for state in State if state is not State.KNOWN)  # no plugin is asked here
REFUTING: Final = (State.MISSING, State.EXTRANEOUS, State.DIFFERENT)
FINDING_STATES: Final = tuple(state for state in STATES if state not in {State.MATCHED, State.EXCLUDED})


@dataclass(slots=True)
class Findings:
    """
    Takes differences from the engine, and writes each at once: file first, then standard output.

    The engine calls it from any thread, one call at a time.
    """

    folder: DiffFolder | None = None
    emit: Callable[[str], None] | None = None
    values: PointValues | None = None
    pair_id: str = ""
    most: int | None = None  # missing, extraneous and different ones, after which the run ends
    counts: Counter[State] = field(default_factory=Counter)
    causes: Causes = field(default_factory=Causes)
    shown: list[Mapping[str, Any]] = field(default_factory=list)
    closed: bool = False  # the summary is being written: a thread that was left behind adds nothing to it

    def __call__(self, difference: Difference) -> None:
        """Take one."""
        document = document_of(difference)
        goes_out = self.folder is not None or self.emit is not None
        if self.values is not None and (goes_out or len(self.shown) < FINDINGS_SHOWN):
            document["items"] = self.values.of(difference)
        if self.closed:
            return
        line = json.dumps(document, ensure_ascii=True)
        if self.folder is not None:
            self.folder.write(line)
            self.folder.note(self.pair_id, difference)
        self.count(document)
        if self.emit is not None:
            self.emit(line)
        if self.most is not None and sum(self.counts[state] for state in REFUTING) >= self.most:
            self.closed = True
            raise Inconclusive(
                f"{number_of(self.most, 'difference')} {were(self.most)} found, "
                "and --max-differences asks for no more.",
                "look at the causes, and run it again.",
            )

    def count(self, document: Mapping[str, Any]) -> None:
        """Count one that has been written."""
        state = State(document["finding"])
        self.counts[state] += 1
        self.causes.add(state, document["paths"], document.get("reason", ""))
        if len(self.shown) < FINDINGS_SHOWN:
            self.shown.append(document)

    @property
    def total(self) -> int:
        """How many were taken."""
        return sum(self.counts.values())


def document_of(difference: Difference) -> dict[str, Any]:
    """One finding as JSON; the reason only where there is one."""
    document: dict[str, Any] = {
        "finding": str(difference.state),
        "key": difference.key,
        "paths": list(difference.paths),
    }
    if difference.by_cause:
        document["established"] = "by cause"
    return document | ({"reason": difference.reason} if difference.reason else {})
