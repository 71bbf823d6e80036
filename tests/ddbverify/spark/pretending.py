"""A cluster in this process: the same steps, rows in any order, attempts that are thrown away."""

from __future__ import annotations

import pickle
import random
import threading
from contextlib import contextmanager
from zlib import crc32

from ddbverify.spark.arrow import TaskFailed, guarded
from ddbverify.spark.probe import require_no_speculation
from ddbverify.spark.rows import Row
from ddbverify.spark.scan import lost
from ddbverify.spark.segments import Look


class PretendedCluster:
    """
    `scan.Cluster` without Spark.

    Args:
        seed: Of the order in which rows arrive.
        attempts: How often each task runs; the last one counts.
        losing: Called with the rows that go into a shuffle, which it may alter.
    """

    name = "spark (pretended)"

    def __init__(self, seed=7, attempts=1, losing=None):
        self.chance, self.attempts = random.Random(seed), attempts
        self.losing = losing or (lambda _, rows: rows)
        self.tasks = []

    @contextmanager
    def joined(self, units, read, join, tasks):
        rows = [row for unit in range(units) for row in self._run(read, [unit], attempt=True)]
        yield _Kept(self, self.shuffled("joined", rows, join, tasks))

    def shuffled(self, name, rows, step, tasks):
        rows = self.losing(name, list(rows))
        self.tasks.append(tasks)
        dealt = [[] for _ in range(tasks)]
        for row in self.chance.sample(rows, len(rows)):
            dealt[crc32(str(row.bucket).encode()) % tasks].append(Row(row.bucket, int(row.kind), row.content))
        return [row for some in dealt for row in self._run(step, some)]

    def _run(self, step, given, *, attempt=False):
        for number in range(self.attempts):
            again = pickle.loads(pickle.dumps(step))  # as it travels
            step_of = (lambda: again(iter(given), number)) if attempt else (lambda: again(iter(given)))  # noqa: B023
            try:
                made = list(guarded(step_of))
            except TaskFailed as error:
                raise lost(str(error)) from None
        return made


class _Kept:
    def __init__(self, cluster, rows):
        self._cluster, self._rows = cluster, rows

    def of(self, *kinds):
        return iter([row for row in self._rows if row.kind in kinds])

    def then(self, kinds, fetch, judge, tasks):
        fetched = self._cluster.shuffled("fetched", self.of(*kinds), fetch, tasks[0])
        return iter(self._cluster.shuffled("judged", fetched, judge, tasks[1]))


class PretendedLiveCluster:
    """
    `lanes.LiveCluster` without Spark: one task at a time, since this process is that of every worker.

    Args:
        attempts: How often each task runs; the last one counts.
        losing: Called with the rows that a task has made, which it may alter.
        before: Called before each attempt, with the unit and the number of the attempt.
    """

    def __init__(self, slots=3, attempts=1, losing=None, before=None, speculates=False):
        self.slots, self.attempts, self.speculates = slots, attempts, speculates
        self.losing, self.before = losing or (lambda _, rows: rows), before or (lambda *_: None)
        self.steps, self.cancelled = [], []
        self.joining = PretendedCluster()
        self._lock = threading.Lock()

    def require_one_attempt_at_a_time(self):
        require_no_speculation(str(self.speculates))

    def once(self, unit, read, group):
        with self._lock:
            assert group not in self.cancelled
            self.steps.append((unit, read))
            for number in range(1 if isinstance(read, Look) else self.attempts):
                step = pickle.loads(pickle.dumps(read))  # as it travels
                self.before(unit, number)
                try:
                    made = list(guarded(lambda: step(iter([unit]), number)))  # noqa: B023
                except TaskFailed as error:
                    raise lost(str(error)) from None
            return self.losing(unit, made)

    def joined(self, units, read, join, tasks):
        return self.joining.joined(units, read, join, tasks)

    def cancel(self, group):
        self.cancelled.append(group)
