"""Processes of a pass, but for the processes: threads that hear and say the same words, pickled."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace
from multiprocessing import Pipe
from typing import Any

from ddbverify.compare.controls import Specimens
from ddbverify.compare.crew import Crew, Lane
from ddbverify.compare.judge import Judge
from ddbverify.compare.memory import Memory
from ddbverify.compare.part import PartScan
from ddbverify.compare.request import Running
from ddbverify.compare.sides import Role
from ddbverify.compare.work import Hiring
from ddbverify.errors import Inconclusive
from ddbverify.tables.segments import Plan


class InThreads(Hiring):
    """
    A crew over tables in memory.

    Args:
        source: Read by all of them.
        target: Likewise.
        judge: Of the pair; its plugins are asked by the pass itself.
        plan: The segments.
        running: Of the pass.
        members: That stand for processes: each has a memory of its own, and one line.
        memory: In bytes; a part of it is each one's.
        covered: Attributes that specimens have to have.
    """

    def __init__(
        self,
        source: Any,
        target: Any,
        judge: Judge,
        plan: Plan,
        *,
        running: Running,
        members: int = 2,
        memory: int = 10**9,
        covered: Iterable[str] = (),
    ) -> None:
        self.shares = members + 1
        self._readers = {Role.SOURCE: source, Role.TARGET: target}
        self._scans = [
            PartScan(
                self._readers,
                replace(judge, rulings=None),
                plan,
                Memory(memory, shares=self.shares),
                clock=running.clock,
                specimens=Specimens(judge, covered),
                judges=not judge.rulings,
            )
            for _ in range(members)
        ]
        self._stop = running.stop
        self._lines: list[Any] = []

    def __enter__(self) -> Crew:
        lanes = []
        for scan in self._scans:
            ours, theirs = Pipe()
            self._lines.append(ours)
            threading.Thread(target=scan.serve, args=(theirs,), daemon=True).start()
            lanes.append(Lane(ours, lambda: Inconclusive("a line broke.", "look why.")))
        return Crew(lanes, self._readers, self._stop)

    def finish(self):
        return [scan.inspector.results for scan in self._scans if scan.inspector is not None]

    def __exit__(self, *_: object) -> None:
        for line in self._lines:
            line.close()
