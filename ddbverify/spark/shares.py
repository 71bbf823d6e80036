"""One read budget, divided among tasks that cannot ask for more. Pure."""

from __future__ import annotations

import threading

from ddbverify.tables.pace import Budget


class Shares:
    """
    Shares of a budget, one for each task under way. Threads share it.

    What a task leaves over goes to those behind it. The budget is a hard limit, and a task is cut off early
    only where its segment is much larger than the others.
    """

    def __init__(self, budget: Budget, at_once: int, tasks: int) -> None:
        """
        Nothing is given yet.

        Args:
            budget: Of all tasks, and of what is read beside them.
            at_once: Tasks that run at once, at most.
            tasks: That are to run in all.
        """
        self._budget, self._at_once, self._to_come = budget, at_once, tasks
        self._given: list[float] = []
        self._lock = threading.Lock()

    def take(self, *, again: bool = False) -> float | None:
        """
        The share of a task that begins; ``None``: there is no limit.

        Args:
            again: It is for a task that has had one.

        Raises:
            BudgetSpentError: There is nothing left to give.
        """
        with self._lock:
            to_come = max(1, self._to_come)
            if not again:
                self._to_come -= 1
            left = self._budget.left
            if left is None:
                return None
            free = left - sum(self._given)
            share = free / max(1, min(self._at_once - len(self._given), to_come))
            if share < 1.0:
                raise self._budget.is_spent()
            self._given.append(share)
            return share

    def give_back(self, share: float | None, consumed: float) -> None:
        """A task has ended that had *share*; what it has consumed counts."""
        with self._lock:
            self._budget.charge(consumed)
            if share is not None:
                self._given.remove(share)
