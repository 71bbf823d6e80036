"""
``ddbverify diff``: two tables compared, every finding handed on as it is decided.

It shows raw keys (docs/promises.md 10), and values only when asked for
them. `run` is the edge; what it came to is a `Result`, which `text` shows to people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Final

from ddbverify.compare import exported, runner
from ddbverify.compare.comparison import Comparison
from ddbverify.compare.request import Listeners, PassRequest, Progress
from ddbverify.compare.sides import Role
from ddbverify.compare.suspects import Suspect
from ddbverify.compare.work import Work as PassWork
from ddbverify.diff.findings import Findings
from ddbverify.diff.folder import DiffFolder
from ddbverify.diff.options import SPARK
from ddbverify.diff.request import Request, Work, prepare
from ddbverify.diff.result import Ended, Result, summary_of
from ddbverify.errors import DdbVerifyError, Inconclusive
from ddbverify.evidence import folders
from ddbverify.evidence.events import EventLog
from ddbverify.evidence.repairs import PairOf
from ddbverify.reports.progress import Meter, Report
from ddbverify.tables.capacity import shares_in_words
from ddbverify.words import number_of

LARGE_READ_UNITS: Final = 1_000_000
"""From here on a run without a folder is worth a word: it could not be resumed."""

Display = Callable[[Meter], AbstractContextManager[Report]]
"""Shows progress while a ``with`` block lasts."""


def run(
    request: Request, *, emit: Callable[[str], None], say: Callable[[str], None], show: Display
) -> Result:
    """
    Compare two tables.

    Ctrl-C and a closed standard output end it with what is known by then.

    Args:
        request: What is asked for.
        emit: Prints one line to standard output; only called with ``request.lines``.
        say: Prints to standard error.
        show: Shows the progress.

    Raises:
        ConfigurationError: The options, the tables or the folder cannot be used.
        EngineError: AWS refused before anything was read.
    """
    work = prepare(request)
    if request.out is None and work.cost.read_units > LARGE_READ_UNITS:
        say(
            f"This reads about {number_of(work.cost.read_units, 'unit')}. With --out it could be "
            "resumed, and all findings would be kept."
        )
    for line in shares_in_words(work.source, work.target, work.options.read_units, setting="--read-units"):
        say(line)
    opened = (
        nullcontext()
        if request.out is None
        else DiffFolder(request.out, work.settings, resume=request.resume)
    )
    with opened as folder:
        if folder is not None and folder.resumed and not folder.checkpoint.exists():
            say("There is no checkpoint in the folder: the comparison starts from the beginning.")
        (pair,) = work.config.tables
        if folder is not None and folder.repair is None:
            say("An earlier version began this run, so it leaves no repair.json.")
        findings = Findings(
            folder, emit if request.lines else None, work.values, pair.id, request.max_differences
        )
        log = EventLog(None if folder is None else folder.path / folders.EVENTS)
        log.begin("diff", "" if folder is None else folder.path.resolve().name)
        try:
            outcome = _compare(work, findings, show, log)
        except DdbVerifyError:
            if folder is not None:
                folder.discard()
            raise
        findings.closed = True
        summary = summary_of(work, outcome, findings)
        unwritten = None
        if folder is not None:
            try:
                repairable = []
                if isinstance(outcome, Comparison):
                    folder.drop_earlier()
                    repairable = [PairOf.of(work.config, pair, work.source, work.target)]
                folder.finish(summary, repairable)
            except Inconclusive as error:  # hours of reading: what they came to is shown all the same
                unwritten = error
        log.verdict(summary["verdict"], complete=summary["complete"])
        return Result(
            source=work.source,
            target=work.target,
            summary=summary,
            shown=tuple(findings.shown),
            causes=findings.causes,
            findings_file=None if folder is None else folder.findings,
            repair=folder.path if folder and folder.repair and folder.repair.finished_with_any else None,
            unwritten=unwritten,
        )


def _scan(work: Work) -> Callable[[PassWork], Iterator[Suspect]] | None:
    """What reads the exports, unless this process does."""
    if work.options.engine != SPARK:
        return None
    # Comes with an extra, and with a Java that few machines have.
    from ddbverify.spark.cluster import SparkCluster
    from ddbverify.spark.scan import Scan

    (pair,) = work.config.tables
    exports = {role: work.exports[role] for role in Role}
    return Scan(SparkCluster.found_or_made(), work.config, pair, exports).suspects


def _of_tables(work: Work) -> Callable[..., Comparison]:
    """What compares two tables: this machine, or tasks of Spark."""
    if work.options.engine != SPARK:
        return runner.compare
    from ddbverify.spark import live
    from ddbverify.spark.cluster import SparkCluster

    return partial(live.compare, SparkCluster.found_or_made(), staging=work.options.spark_staging)


def _compare(work: Work, findings: Findings, show: Display, log: EventLog) -> Comparison | Ended:
    """The comparison, or why it did not come to its end."""
    last: Progress | None = None
    meter = Meter(
        items=work.cost.items,
        usd_per_unit=work.cost.usd_per_unit,
        settle_seconds=work.config.verification.settle,
        findings=lambda: findings.total,
    )
    try:
        (pair,) = work.config.tables
        with show(meter) as report, log.passing(pair.id, work.cost.usd_per_unit) as note:

            def progress(now: Progress) -> None:
                nonlocal last
                last = now
                note(now)
                report(now)

            listeners = Listeners(progress=progress, found=findings)
            if work.exports:
                sides = (work.exports.get("source", work.source), work.exports.get("target", work.target))
                settles = work.options.settles_live
                return exported.compare(
                    work.config, pair, *sides, listeners, settles=settles, scan=_scan(work)
                )
            return _of_tables(work)(
                work.config,
                pair,
                PassRequest(
                    sample=work.config.verification.sampled_fraction,
                    seed=work.options.seed,
                    segments=work.options.segments,
                    checkpoint=findings.folder.checkpoint if findings.folder else None,
                    strata=work.strata,
                    secret=findings.folder.repair.secret
                    if findings.folder and findings.folder.repair
                    else None,
                ),
                listeners,
            )
    except KeyboardInterrupt:
        return Ended("it was interrupted", last)
    except BrokenPipeError:
        return Ended("standard output was closed", last)
    except Inconclusive as error:
        return Ended(f"{error.message} Try: {error.hint}", last)
