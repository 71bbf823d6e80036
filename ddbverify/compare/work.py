"""What the steps of one pass share: its rules, its readers, what has been counted, and how far it is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from ddbverify.compare.checkpoint import Checkpoint
from ddbverify.compare.controls import Specimens
from ddbverify.compare.crew import Segments
from ddbverify.compare.groups import Groups
from ddbverify.compare.inspection import Inspected, Inspector
from ddbverify.compare.judge import Judge
from ddbverify.compare.memory import Memory
from ddbverify.compare.reading import Reader, Reading
from ddbverify.compare.request import Listeners, PassRequest, Progress, Running
from ddbverify.compare.sides import Role
from ddbverify.compare.suspects import Settled, Suspect
from ddbverify.compare.tally import Tally
from ddbverify.config import Verification
from ddbverify.items.keys import JoinKey, join_key
from ddbverify.items.states import Difference
from ddbverify.tables.segments import Plan


class Hiring(AbstractContextManager[Segments], Protocol):
    """Other processes, of this machine or of a cluster, for as long as the block lasts."""

    shares: int
    """Processes that have a part of the memory, this one in it."""

    settle: Callable[[Iterable[Suspect]], Iterator[Settled]] | None = None
    """What settles suspects where they are many, without plugins and checks; ``None``: this process does."""

    def finish(self) -> Iterable[Mapping[str, Inspected]]:
        """Called once all segments have been read: what the checks on items have learned, by their ids."""


class Work:
    """One pass under way. Its threads share it."""

    def __init__(
        self,
        readers: Mapping[Role, Reader],
        judge: Judge,
        planned: Plan,
        settings: Verification,
        *,
        request: PassRequest,
        listeners: Listeners,
        running: Running,
        checkpoint: Checkpoint | None,
        has_controls: bool,
        crew: Hiring | None = None,
        looks: Mapping[Role, Reader] | None = None,
    ) -> None:
        """Prepare; nothing is read yet."""
        self.readers, self.judge, self.plan, self.settings = readers, judge, planned, settings
        self.looks = looks or readers  # of single keys
        self.schemas = {Role.SOURCE: judge.transform.source_keys, Role.TARGET: judge.transform.target_keys}
        self.request, self.running, self.checkpoint = request, running, checkpoint
        self.crew = crew  # that reads the segments; None: the threads of this process
        self.covered = frozenset(request.covered)
        self._listeners = listeners
        self._reported: set[JoinKey] = set()  # kept for the strata only
        self.tally = Tally(judge, self.report_once if request.strata else listeners.found)
        self.inspector = Inspector(request.item_checks, judge.transform.target_keys, listeners.refuted)
        if listeners.inspecting is not None:
            listeners.inspecting(self.inspector)
        self.groups = Groups()
        self.memory = Memory(settings.memory, shares=crew.shares if crew else 1)
        self.specimens = Specimens(judge, self.covered) if has_controls else None
        self.phase, self.open_suspects = "scan", 0
        self.notes: list[str] = []  # of the scan, in words
        self.lock = threading.Lock()
        self.reading = self.new_reading(specimens=self.specimens)

    @property
    def are_looks_elsewhere(self) -> bool:
        """Whether single keys are looked at somewhere else than where the scan has seen them."""
        return self.looks is not self.readers

    def spent(self, role: Role) -> tuple[float, int]:
        """Read units and requests of one side."""
        scanned, looked = self.readers[role], self.looks[role]
        if looked is scanned:
            return scanned.read_units, scanned.requests
        return scanned.read_units + looked.read_units, scanned.requests + looked.requests

    def new_reading(self, name: str = "", *, specimens: Specimens | None = None) -> Reading:
        """Another way through the planned segments; *name* tells it from the first."""
        return Reading(
            self.readers,
            self.schemas,
            self.plan,
            name,
            clock=self.running.clock,
            stop=self.running.stop,
            report=self.report,
            threads=self.running.threads,
            specimens=specimens,
        )

    def report(self) -> None:
        """Say how far the pass is."""
        if self._listeners.progress is None:
            return
        self._listeners.progress(
            Progress(
                phase=self.phase,
                segments_finished=len(self.reading.finished_on_both_sides),
                segments_planned=len(self.plan.segments),
                source_items=self.reading.scanned[Role.SOURCE],
                target_items=self.reading.scanned[Role.TARGET],
                read_units=sum(self.spent(role)[0] for role in Role),
                open_suspects=self.open_suspects,
                counts=self.tally.counts,
                converged=self.tally.converged,
                slowest_convergence_seconds=self.tally.slowest_convergence_seconds,
            )
        )

    def report_once(self, difference: Difference) -> None:
        """Hand a difference on unless its key has been reported: a sample and a stratum may share keys."""
        key = join_key(difference.key, self.judge.transform.target_keys)
        if key not in self._reported:
            self._reported.add(key)
            if self._listeners.found is not None:
                self._listeners.found(difference)

    @property
    def reported(self) -> int:
        """How many keys `report_once` has handed on."""
        return len(self._reported)
