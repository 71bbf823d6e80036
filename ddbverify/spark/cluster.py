"""
Spark as it is there: a session that was begun by `spark-submit`, Glue or EMR, or one of this machine.

One code path for 3.5 and 4.x: a range, `mapInArrow`, a shuffle by a column, `mapInArrow`. Not `cogroup` on
Arrow, which 3.5 has not; not Python data sources, which only 4 has; not Spark's readers of JSON, which drop
what does not fit into a schema.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from ddbverify.errors import ConfigurationError, DdbVerifyError
from ddbverify.spark import arrow, probe
from ddbverify.spark.rows import COLUMNS, ROWS_AT_ONCE, Kind, Row
from ddbverify.spark.scan import ReadStep, Step, lost

_ROWS_AT_ONCE: Final = "spark.sql.execution.arrow.maxRecordsPerBatch"

_FAILED: Final = re.compile(r"TaskFailed: ([\w.]+ in [\w.<>]+ line \d+)")


class SparkCluster:
    """`scan.Cluster` in one session."""

    def __init__(self, session: Any) -> None:
        """Run in *session*, which is left as it was."""
        self._session = session

    @property
    def name(self) -> str:
        """As `scan.Cluster` has it."""
        return f"spark {self._session.version}"

    @classmethod
    def found_or_made(cls) -> SparkCluster:
        """
        The session that is there, else one as `spark-submit` or the machine has it.

        Raises:
            ConfigurationError: There is no pyspark, no Java, or a Python that cannot run the tasks.
        """
        try:
            from pyspark.sql import SparkSession
        except ImportError:
            raise ConfigurationError(
                "--engine spark: pyspark is not here.",
                "install the extra, pip install 'ddbverify[spark]', or run it by spark-submit.",
            ) from None
        session = SparkSession.getActiveSession()
        if session is None:
            # Workers would be the `python3` on the path, whichever that is.
            os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
            try:
                session = SparkSession.builder.appName("ddbverify").getOrCreate()
            except Exception as error:
                raise ConfigurationError(
                    f"--engine spark: Spark does not begin ({type(error).__name__}).",
                    "install Java 17 and set JAVA_HOME, or run it by spark-submit.",
                ) from error
        probe.require_usable(session)
        return cls(session)

    @contextmanager
    def joined(self, units: int, read: ReadStep, join: Step, tasks: int) -> Iterator[_Kept]:
        """As `scan.Cluster` has it."""
        from pyspark import StorageLevel

        before = self._session.conf.get(_ROWS_AT_ONCE)
        self._session.conf.set(_ROWS_AT_ONCE, str(ROWS_AT_ONCE))
        try:
            frame = self._session.range(0, units, 1, max(1, units))
            frame = frame.mapInArrow(arrow.of_units(read), COLUMNS)
            frame = frame.repartition(tasks, "bucket").mapInArrow(arrow.of_rows(join), COLUMNS)
            # Looked at twice; what is lost of it with an executor is made again, and the same.
            frame = frame.persist(StorageLevel.DISK_ONLY)
            try:
                yield _Kept(frame)
            finally:
                frame.unpersist()
        finally:
            self._session.conf.set(_ROWS_AT_ONCE, before)

    @property
    def slots(self) -> int:
        """As `lanes.LiveCluster` has it."""
        return int(self._session.sparkContext.defaultParallelism)

    def require_one_attempt_at_a_time(self) -> None:
        """As `lanes.LiveCluster` has it."""
        if not hasattr(self._session, "sparkContext"):
            raise ConfigurationError(
                "--engine spark: this is Spark Connect, which does not say how many tasks run.",
                "run it by spark-submit, or compare exports.",
            )
        probe.require_no_speculation(self._session.conf.get("spark.speculation", "false"))

    def once(self, unit: int, read: ReadStep, group: str) -> list[Row]:
        """As `lanes.LiveCluster` has it."""
        # A job of one task: its rows come back with its success, so that nothing makes them again.
        with _failing():
            self._session.sparkContext.setJobGroup(group, "ddbverify")
            frame = self._session.range(unit, unit + 1, 1, 1).mapInArrow(arrow.of_units(read), COLUMNS)
            return [Row(row[0], row[1], bytes(row[2])) for row in frame.collect()]

    def cancel(self, group: str) -> None:
        """As `lanes.LiveCluster` has it."""
        self._session.sparkContext.cancelJobGroup(group)


class _Kept:
    """`scan.Shuffled` as a persisted frame."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame

    def of(self, *kinds: Kind) -> Iterator[Row]:
        """As `scan.Shuffled` has it."""
        with _failing():
            rows = self._of(kinds).collect()
        return (Row(row[0], row[1], bytes(row[2])) for row in rows)

    def then(
        self, kinds: tuple[Kind, ...], fetch: Step, judge: Step, tasks: tuple[int, int]
    ) -> Iterator[Row]:
        """As `scan.Shuffled` has it."""
        fetching, judging = tasks
        frame = self._of(kinds).repartition(fetching, "bucket").mapInArrow(arrow.of_rows(fetch), COLUMNS)
        frame = frame.repartition(judging, "bucket").mapInArrow(arrow.of_rows(judge), COLUMNS)
        with _failing():
            for row in frame.toLocalIterator():
                yield Row(row[0], row[1], bytes(row[2]))

    def _of(self, kinds: Iterable[Kind]) -> Any:
        return self._frame.filter(f"kind in ({', '.join(str(int(kind)) for kind in kinds)})")


@contextmanager
def _failing() -> Iterator[None]:
    """What Spark raises, in our words; its own text has the whole of a plan and a stack."""
    try:
        yield
    except (DdbVerifyError, GeneratorExit, KeyboardInterrupt):
        raise
    except Exception as error:  # noqa: BLE001  # of py4j, of Spark, of its Python side: no common class
        found = _FAILED.search(str(error))
        raise lost(found[1] if found else type(error).__name__) from None
