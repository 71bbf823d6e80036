"""
``ddbverify diff``: two tables compared, every finding handed on as it is decided.

It shows raw keys (docs/promises.md 10), and values only when asked for
them. `run` is the edge; what it came to is a `Result`, which `diff_text` renders.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from ddbverify.compare import runner, strata
from ddbverify.compare.causes import Causes
from ddbverify.compare.comparison import Comparison
from ddbverify.compare.point_values import PointValues
from ddbverify.config import Config
from ddbverify.diff.folder import DiffFolder, settings_of
from ddbverify.diff.options import Options, config_of
from ddbverify.errors import ConfigurationError, DdbVerifyError, Inconclusive
from ddbverify.evidence.folders import make_importable
from ddbverify.items import transform as transforms
from ddbverify.items.form import JoinKey
from ddbverify.items.states import Difference, State
from ddbverify.items.transform import Transform
from ddbverify.reports import plan as plans
from ddbverify.reports.plan import Estimate
from ddbverify.reports.progress import Meter, Report
from ddbverify.suite.verdicts import comparison_verdict
from ddbverify.tables import sampling
from ddbverify.tables import table as tables
from ddbverify.tables.table import Table
from ddbverify.tables.wire import TableReader
from ddbverify.words import number_of, were

FINDINGS_SHOWN: Final = 20

EXIT_CODES: Final = {"equal": 0, "different": 1, "inconclusive": 3}

REFUTING: Final = (State.MISSING, State.EXTRANEOUS, State.DIFFERENT)
STATES: Final = tuple(state for state in State if state is not State.KNOWN)  # no plugin is asked here
FINDING_STATES: Final = tuple(state for state in STATES if state not in {State.MATCHED, State.EXCLUDED})
OPEN: Final = (State.UNCOMPARABLE, State.CHURNING, State.UNDECIDED)

LARGE_READ_UNITS: Final = 1_000_000
"""From here on a run without a folder is worth a word: it could not be resumed."""

Display = Callable[[Meter], AbstractContextManager[Report]]
"""Shows progress while a ``with`` block lasts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A diff as the command line asks for it."""

    options: Options
    folder: Path  # where a transform's module is looked for
    out: Path | None = None
    resume: bool = False
    values: bool = False
    lines: bool = False  # findings go to standard output as they are decided


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a diff came to."""

    source: Table
    target: Table
    summary: Mapping[str, Any]  # as it is printed
    shown: tuple[Mapping[str, Any], ...]  # the first findings
    causes: Causes
    findings_file: Path | None
    unwritten: Inconclusive | None = None  # why the folder does not hold the outcome

    @property
    def findings(self) -> int:
        """How many there are."""
        return sum(self.summary[state] for state in FINDING_STATES)

    @property
    def exit_code(self) -> int:
        """0 equal, 1 different, 3 inconclusive, or equal and the folder does not say so."""
        code = EXIT_CODES[self.summary["verdict"]]
        return EXIT_CODES["inconclusive"] if self.unwritten is not None and code == 0 else code


@dataclass(slots=True)
class Findings:
    """
    Takes differences from the engine, and writes each at once: file first, then standard output.

    The engine calls it from any thread, one call at a time.
    """

    folder: DiffFolder | None = None
    emit: Callable[[str], None] | None = None
    values: PointValues | None = None
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
        self.count(document)
        if self.emit is not None:
            self.emit(line)

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
    return document | ({"reason": difference.reason} if difference.reason else {})


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
    work = _prepare(request)
    if request.out is None and work.estimate.read_units > LARGE_READ_UNITS:
        say(
            f"This reads about {number_of(work.estimate.read_units, 'unit')}. With --out it could be "
            "resumed, and all findings would be kept."
        )
    opened = (
        nullcontext()
        if request.out is None
        else DiffFolder(request.out, work.settings, resume=request.resume)
    )
    with opened as folder:
        if folder is not None and folder.resumed and not folder.checkpoint.exists():
            say("There is no checkpoint in the folder: the comparison starts from the beginning.")
        findings = Findings(folder, emit if request.lines else None, work.values)
        try:
            outcome = _compare(work, findings, show)
        except DdbVerifyError:
            if folder is not None:
                folder.discard()
            raise
        findings.closed = True
        if isinstance(outcome, Comparison):
            summary = _finished(outcome, findings)
        else:
            summary = _unfinished(outcome, findings, work.options.seed)
        summary = _with_values_read(summary, work.values) | _about(work, findings)
        unwritten = None
        if folder is not None:
            try:
                if isinstance(outcome, Comparison):
                    folder.drop_earlier()
                folder.finish(summary)
            except Inconclusive as error:  # hours of reading: what they came to is shown all the same
                unwritten = error
        return Result(
            source=work.source,
            target=work.target,
            summary=summary,
            shown=tuple(findings.shown),
            causes=findings.causes,
            findings_file=None if folder is None else folder.findings,
            unwritten=unwritten,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """A request that has been checked against its tables. Nothing has been read."""

    config: Config  # as the engine gets it
    options: Options
    source: Table
    target: Table
    estimate: Estimate
    settings: Mapping[str, Any]
    strata: Mapping[str, Sequence[JoinKey]]
    values: PointValues | None
    started_epoch: float


@dataclass(frozen=True, slots=True)
class _Ended:
    """A comparison that did not come to its end, and how far it was."""

    reason: str
    progress: runner.Progress | None


def _prepare(request: Request) -> _Work:
    options = _with_seed(request)
    config = config_of(options, request.folder)
    (pair,) = config.tables
    make_importable(config)
    source, target = tables.describe_pair(config, pair)
    chosen = {str(path): strata.read(path, source.key_schema, target.key_schema) for path in options.strata}
    estimate = plans.estimate(config, source, target, seed=options.seed, segments=options.segments)
    engine_config, values = _with_values(config, source, target) if request.values else (config, None)
    return _Work(
        config=engine_config,
        options=options,
        source=source,
        target=target,
        estimate=estimate,
        settings=_settings(config, options, source, target),
        strata=chosen,
        values=values,
        started_epoch=time.time(),
    )


def _with_seed(request: Request) -> Options:
    """The seed of a sample is drawn here: a resumed run has to draw the same segments."""
    options = request.options
    if options.sample is None or options.seed is not None:
        return options
    earlier = settings_of(request.out) if request.resume and request.out is not None else {}
    seed = earlier.get("seed")
    return replace(options, seed=sampling.new_seed() if seed is None else seed)


def _settings(config: Config, options: Options, source: Table, target: Table) -> dict[str, Any]:
    """What decides about the result: a resumed run needs the same."""
    (pair,) = config.tables
    return {
        "source": {"arn": source.arn, "id": source.id},
        "target": {"arn": target.arn, "id": target.id},
        "transform": pair.transform,
        "transform_digest": transforms.package_digest(pair.transform) if pair.transform else None,
        "rekeys": pair.rekeys,
        "ignore": sorted(pair.ignore),
        "coverage": config.verification.coverage,
        "seed": options.seed,
        "segments": options.segments,
        "strata": {str(path): strata.digest(path) for path in options.strata},
        "settle_seconds": float(config.verification.settle),
    }


def _with_values(config: Config, source: Table, target: Table) -> tuple[Config, PointValues]:
    """
    Readers for ``--values``, and the settings that are left for the engine.

    Ceiling and budget hold for both together: a tenth of each goes to the values.
    """
    (pair,), settings = config.tables, config.verification
    rate, budget, for_values = settings.read_units, settings.max_read_units, None
    changes: dict[str, int] = {}
    if rate is not None:
        if rate == 1:
            raise ConfigurationError(
                "--values needs a --read-units of 2 or more.", "raise it, or leave one of the two out."
            )
        rate = max(1, rate // 10)
        changes["read_units"] = (settings.read_units or 0) - rate
    if budget is not None:
        for_values = budget // 10
        changes["max_read_units"] = budget - for_values
    transform = None
    if pair.transform is not None:
        transform = Transform.load(pair.transform, source.key_schema, target.key_schema, rekeys=pair.rekeys)
    values = PointValues(
        TableReader(config.source, source, units_per_second=rate),
        TableReader(config.target, target, units_per_second=rate),
        source_keys=source.key_schema,
        target_keys=target.key_schema,
        rekeys=pair.rekeys,
        transform=transform,
        max_read_units=for_values,
    )
    left = msgspec.structs.replace(settings, **changes)
    return msgspec.structs.replace(config, verification=left), values


def _compare(work: _Work, findings: Findings, show: Display) -> Comparison | _Ended:
    """The comparison, or why it did not come to its end."""
    last: runner.Progress | None = None
    money = work.estimate.money / work.estimate.read_units
    meter = Meter(items=work.estimate.items, usd_per_unit=money, findings=lambda: findings.total)
    try:
        with show(meter) as report:

            def progress(now: runner.Progress) -> None:
                nonlocal last
                last = now
                report(now)

            (pair,) = work.config.tables
            return runner.compare(
                work.config,
                pair,
                sample=work.config.verification.sampled_fraction,
                seed=work.options.seed,
                segments=work.options.segments,
                progress=progress,
                found=findings,
                checkpoint=findings.folder.checkpoint if findings.folder else None,
                strata=work.strata,
            )
    except KeyboardInterrupt:
        return _Ended("it was interrupted", last)
    except BrokenPipeError:
        return _Ended("standard output was closed", last)
    except Inconclusive as error:
        return _Ended(f"{error.message} Try: {error.hint}", last)


# --- adding up ------------------------------------------------------------------------------


def verdict_of(comparison: Comparison) -> tuple[str, tuple[str, ...]]:
    """
    ``equal``, ``different`` or ``inconclusive``, and every reason why it is not complete.

    A difference stands whatever else went wrong; ``equal`` needs everything to have been read
    and decided, so a sample is never equal.
    """
    judged = comparison_verdict(comparison, refuting=REFUTING)
    reasons = list(judged.unexamined)
    for stratum in comparison.strata:
        undecided = sum(stratum.counts.get(state, 0) for state in OPEN)
        if undecided:
            reasons.append(f"{number_of(undecided, 'key')} of {stratum.name} were not decided")
    if judged.churning:
        reasons.append(f"{number_of(judged.churning, 'key')} never held still long enough to be decided")
    if comparison.is_sample:
        reasons.append(
            f"it is a sample: {comparison.segments_planned:,} of {comparison.segments_total:,} segments "
            "were to be read"
        )
    if judged.examined == 0:
        reasons.append("no key was compared, and nothing proves nothing")
    counts = (comparison.counts, *(stratum.counts for stratum in comparison.strata))
    if any(one.get(state) for state in REFUTING for one in counts):
        return "different", tuple(reasons)
    return "inconclusive" if reasons else "equal", tuple(reasons)


def _finished(comparison: Comparison, findings: Findings) -> dict[str, Any]:
    verdict, reasons = verdict_of(comparison)
    notes = list(comparison.notes)
    counted = sum(comparison.counts.get(state, 0) for state in FINDING_STATES)
    counted += sum(stratum.listed for stratum in comparison.strata)
    if findings.total != counted:
        # A defect of ours if it ever happens; then the list must not look like all there is.
        reasons = (
            *reasons,
            f"{number_of(counted, 'finding')} {were(counted)} counted, {findings.total:,} listed",
        )
    if comparison.converged:
        notes.append(
            f"{number_of(comparison.converged, 'key')} differed at first and converged, the slowest "
            f"within {comparison.slowest_convergence_seconds:.1f} s"
        )
    sides = {"source": comparison.source, "target": comparison.target}
    return {
        "verdict": "inconclusive" if verdict == "equal" and reasons else verdict,
        "complete": not reasons,
        "finished": comparison.segments_finished == comparison.segments_planned
        and not comparison.unexamined
        and not comparison.counts.get(State.UNDECIDED),
        "reasons": list(reasons),
        **{str(state): comparison.counts.get(state, 0) for state in STATES},
        "read_units": {name: side.read_units for name, side in sides.items()},
        "requests": {name: side.requests for name, side in sides.items()},
        "items": {name: side.items for name, side in sides.items()},
        "segments": {
            "planned": comparison.segments_planned,
            "finished": comparison.segments_finished,
            "total": comparison.segments_total,
        },
        "seed": comparison.seed,
        "strata": [stratum.as_json() for stratum in comparison.strata],
        "converged": comparison.converged,
        "notes": notes,
    }


def _unfinished(ended: _Ended, findings: Findings, seed: int | None) -> dict[str, Any]:
    """What is known of a comparison that was cut short: its findings, and how far it was."""
    progress = ended.progress
    differs = any(findings.counts[state] for state in REFUTING)
    return {
        "verdict": "different" if differs else "inconclusive",
        "complete": False,
        "finished": False,
        "reasons": [ended.reason],
        **{str(state): findings.counts[state] if state in FINDING_STATES else None for state in STATES},
        "read_units": {"source": None, "target": None, "both": progress.read_units if progress else 0.0},
        "requests": {"source": None, "target": None},
        "items": {"source": None, "target": None},
        "segments": {
            "planned": progress.segments_planned if progress else None,
            "finished": progress.segments_finished if progress else 0,
            "total": None,
        },
        "seed": seed,
        "strata": [],
        "converged": None,
        "notes": [],
    }


def _with_values_read(summary: dict[str, Any], values: PointValues | None) -> dict[str, Any]:
    """What ``--values`` has read is on the same bill."""
    if values is None:
        return summary
    units = dict(summary["read_units"])
    for name, reader in (("source", values.source), ("target", values.target)):
        if units[name] is not None:
            units[name] += reader.read_units
        else:
            units["both"] += reader.read_units
    return summary | {"read_units": units}


def _about(work: _Work, findings: Findings) -> dict[str, Any]:
    return {
        "causes": [
            {"finding": str(cause.state), "cause": cause.text, "findings": cause.findings}
            for cause in findings.causes.most_common()
        ],
        "tables": {"source": work.source.arn, "target": work.target.arn},
        "started": _moment(work.started_epoch),
        "ended": _moment(time.time()),
    }


def _moment(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="seconds")
