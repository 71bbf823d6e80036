"""
One segment, read and joined in one call, for a caller that has no line to the process that asks for it.

`part` does the work; here it is given one segment, and what is open of it is handed on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ddbverify.compare.controls import Specimens
from ddbverify.compare.entries import Left
from ddbverify.compare.inspection import Inspector
from ddbverify.compare.judge import Judge
from ddbverify.compare.memory import Memory, rare_collections
from ddbverify.compare.part import Ended, PartScan, Task
from ddbverify.compare.reading import Reader
from ddbverify.compare.sides import Role
from ddbverify.tables.segments import Plan


def read_segment(
    readers: Mapping[Role, Reader],
    judge: Judge,
    planned: Plan,
    task: Task,
    *,
    memory: int,
    clock: Callable[[], float],
    covered: Iterable[str] | None,
    judges: bool,
    take: Callable[[Left], None],
    inspector: Inspector | None = None,
) -> Ended:
    """
    Read one segment of both tables, in step as far as their orders agree.

    Args:
        readers: Of both tables.
        judge: Without plugins: these are asked in one process.
        planned: The segments.
        task: Which of them.
        memory: Bytes that may wait; what exceeds them is handed on before the segment's end.
        clock: Seconds since the epoch, never going back.
        covered: Attributes that the controls have to alter; ``None``: no items for controls are wanted.
        judges: Whether pairs that do not match at once are judged here; else they are handed on.
        take: Given what is left of the segment, some at a time. What it raises ends the segment.
        inspector: Shown pairs that are equal as they were read.

    Raises:
        EngineError: AWS refused before anything was read.
    """
    with rare_collections():
        return PartScan(
            readers,
            judge,
            planned,
            Memory(memory),
            clock=clock,
            inspector=inspector,
            specimens=None if covered is None else Specimens(judge, covered),
            judges=judges,
        ).read(task, _Line(take))


class _Line:
    """A `part.Line` to a caller that wants to hear what is open, and nothing else."""

    def __init__(self, take: Callable[[Left], None]) -> None:
        self._take = take

    def recv(self) -> object:
        raise EOFError

    def send(self, word: object) -> None:
        if isinstance(word, Left):
            self._take(word)
