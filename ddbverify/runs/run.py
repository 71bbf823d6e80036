"""
``ddbverify run``: pytest in a child process, its record judged and signed by the parent.

The parent believes nothing but a record that came to its own end, held against what the child's
exit status and the tables themselves say. A child that died, was killed or left by
``os._exit(0)`` makes the run inconclusive.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ddbverify import config as configuration
from ddbverify.config import Config, Side
from ddbverify.errors import ConfigurationError, EngineError
from ddbverify.evidence import evidence, folders, record, row, sealing, signing
from ddbverify.evidence.evidence import Evidence, PairEvidence
from ddbverify.evidence.record import Record
from ddbverify.gate.reasons import AWS_REFUSED, INCOMPLETE
from ddbverify.gate.unclaimed import unclaimed
from ddbverify.names import region_of
from ddbverify.pipeline import health as pipeline
from ddbverify.plugins import of_pytest
from ddbverify.plugins.loading import Plugins
from ddbverify.reports import summary
from ddbverify.runs import child, filters, watching
from ddbverify.runs.clock import Clock
from ddbverify.runs.shortcomings import Before, changed_since, samples, shortcomings
from ddbverify.runs.unbound import unbound
from ddbverify.session import watchdog
from ddbverify.tables import aws
from ddbverify.tables.hosts import is_aws
from ddbverify.words import plain

INTERRUPTED = "it was interrupted"

_USAGE_ERROR = 4  # https://docs.pytest.org/en/stable/reference/exit-codes.html


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run came to, and where it lies."""

    folder: Path
    evidence: Evidence
    exit_code: int
    unreported: tuple[str, ...] = ()  # what went wrong with plugins that report; the evidence stands
    new_key: signing.FileKey | None = None
    trusted: bool = True  # whether this configuration believes what it has just signed

    def as_json(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        found = self.evidence
        return {
            "command": "run",
            "run_id": found.run_id,
            "folder": str(self.folder),
            "evidence": str(self.folder / folders.EVIDENCE),
            "verdict": found.verdict,
            "exit_code": self.exit_code,
            "complete": found.complete,
            "shortcomings": list(found.shortcomings),
            "unclaimed": [msgspec.to_builtins(one) for one in found.unclaimed],
            "only_churning": found.only_churning,
            "trusted": self.trusted,
            "unreported": list(self.unreported),
            "coverage": found.coverage,
            "checks": [
                {
                    "name": check.name,
                    "pair": check.pair,
                    "state": str(check.state),
                    "examined": check.examined,
                    "findings": check.findings,
                    "tolerated": check.tolerated,
                    "severity": str(check.severity),
                    "seconds": check.seconds,
                    "accepted": list(check.accepted),
                    "only_churning": check.only_churning,
                    "why": check.why,
                }
                for check in found.checks
            ],
            "pairs": [
                {
                    "id": pair.id,
                    "source": pair.source.arn,
                    "target": pair.target.arn,
                    "counts": dict(pair.comparison.counts) if pair.comparison else {},
                    "converged": pair.comparison.converged if pair.comparison else 0,
                    "read_units": _read_units(pair),
                    "causes": [
                        cause
                        for fact in found.facts
                        if fact.name == "causes" and fact.about == pair.id and isinstance(fact.value, tuple)
                        for cause in fact.value
                    ],
                }
                for pair in found.pairs
            ],
        }


def run(
    config_file: Path,
    *,
    out: Path | None = None,
    coverage: str | None = None,
    extra: Sequence[str] = (),
    output_to_stderr: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> RunResult:
    """
    Run all checks, and leave signed evidence of it.

    Args:
        config_file: The ``migration.toml``.
        out: Folder of the run; it must be empty or not exist.
        coverage: Instead of the configured one.
        extra: Further arguments for pytest. What they leave out closes the gate.
        output_to_stderr: Keep standard output free for the caller.
        say: Is told before anything is read, in a line each, what the run takes of the tables' capacity,
            and what makes it go in vain.

    Raises:
        ConfigurationError: The run could not start.
        EngineError: AWS refused before anything was read.
    """
    config = configuration.load(config_file)
    if coverage is not None:
        config = configuration.with_coverage(config, coverage)
    folders.make_importable(config)
    checks = folders.checks_folder(config)
    child.require_harmless(extra, config.folder, checks)
    plugins = Plugins.of(config, checks)
    before = Before.of(config, checks, plugins)
    endpoints, emulator = _endpoints(config)
    identities = {"source": _identity(config.source), "target": _identity(config.target)}
    for line in (*before.shares, *_other_transforms(config)):
        say(line)
    clock = Clock(config)
    started = clock.now()
    key = signing.signing_key(config)  # made by the first run that can start, which says so
    key.sign(b"may this run sign?")  # KMS could refuse, and not only after an hour of reading
    trusted = signing.trusted_keys(config)
    sealed_for = sealing.recipient(config)
    run_id = folders.new_run_id(started)
    before_this = row.previous(config)  # before `latest` points at this one
    folder = folders.make_run_folder(config, run_id, out).resolve()
    with _writing(folder):
        (folder / folders.SETTINGS).write_text(
            child.ini_text(filters.project_filters(checks)), encoding="utf-8"
        )
    command = child.command(
        config_file,
        folder,
        checks,
        coverage=coverage,
        extra=extra,
        plugins=of_pytest.entry_points(config.checks.pytest_plugins),
    )
    interrupted, status = watching.watch(command, config.folder, to_stderr=output_to_stderr)
    recorded = record.read(folder / folders.RECORD)
    if recorded.exit_status is None and status == _USAGE_ERROR and not recorded.checks:
        raise ConfigurationError(
            "pytest refused its arguments, or checks/conftest.py does not load; what it says stands above.",
            "mend the arguments after --, conftest.py or migration.toml.",
        )
    others = unbound(recorded, before.bound, config.folder, folder)
    lacking = [
        *([INTERRUPTED] if interrupted else []),
        *shortcomings(
            recorded,
            status,
            before,
            watchdog.place_in(folder / folders.STUCK, checks, config.folder.resolve()),
        ),
        *others.shortcomings,
        *samples(recorded, asked=coverage is not None),
        *changed_since(before, config_file, coverage, checks, plugins),
        *clock.was_set(),
    ]
    ended = clock.now()
    checks_run = tuple(recorded.checks.values())
    pairs = tuple(_pair_evidence(pair.id, before, recorded, clock) for pair in config.tables)
    nobodys = unclaimed(config.gate, pairs, checks_run)
    verdict = evidence.verdict_of(checks_run, complete=not lacking, unclaimed=nobodys)
    found = Evidence(
        schema=evidence.SCHEMA,
        run_id=run_id,
        previous=before_this,
        tool_version=evidence.tool_version(),
        verdict=verdict,
        complete=not lacking,
        shortcomings=tuple(lacking),
        unclaimed=nobodys,
        coverage=config.verification.coverage,
        pairs=pairs,
        checks=checks_run,
        facts=(*recorded.facts, *others.facts),
        digests=before.digests,
        extensions=before.extensions,
        plugins=recorded.plugins or _programs(),
        identities=identities,
        endpoints=endpoints,
        emulator=emulator,
        started_epoch=started,
        ended_epoch=ended,
        valid_until_epoch=ended + config.gate.max_age,
    )
    with _writing(folder):
        if sealed_for is not None and (folder / folders.FINDINGS).exists():
            sealing.seal(folder / folders.FINDINGS, folder / folders.SEALED, sealed_for)
        folders.write_atomically(folder / folders.SUMMARY, summary.cut(summary.markdown(found)))
        folders.write_atomically(folder / folders.EVIDENCE, evidence.encode(found, key))
    refused = verdict == "inconclusive" and recorded.was_refused
    exit_code = AWS_REFUSED if refused else {"passed": 0, "failed": 1, "inconclusive": 3}[verdict]
    unreported = tuple(plugins.report(msgspec.json.encode(found), folder))
    return RunResult(
        folder=folder,
        evidence=found,
        exit_code=exit_code or (INCOMPLETE if unreported else 0),
        unreported=unreported,
        new_key=key if isinstance(key, signing.FileKey) and key.is_new else None,
        trusted=key.public in trusted,
    )


def _programs() -> dict[str, str]:
    """What would have been run, where nothing was."""
    return {"ddbverify": evidence.tool_version(), "pytest": importlib.metadata.version("pytest")}


def _other_transforms(config: Config) -> Iterator[str]:
    """Before hours of reading: each item would differ. The run goes on, and its pipeline check fails."""
    for pair in config.tables:
        try:
            why = pipeline.other_transform(config, pair)
        except EngineError:  # not here to judge: the pipeline check looks, too, and says what refused
            continue
        if why is not None:
            yield f"warning: {pair}: {plain(why)}"


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """A disk that takes no more: there is no evidence then, whatever the checks said."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"The run cannot be written to {folder}: {error.strerror}. It leaves no evidence.",
            "make room, or name another folder with --out, then run the command again.",
        ) from error


def _endpoints(config: Config) -> tuple[dict[str, str], bool]:
    clients = {
        name: aws.client(side, "dynamodb", region=_region(config, name))
        for name, side in (("source", config.source), ("target", config.target))
    }
    return (
        {name: str(client.meta.endpoint_url) for name, client in clients.items()},
        not all(is_aws(client.meta.endpoint_url) for client in clients.values()),
    )


def _region(config: Config, side: str) -> str | None:
    """The region that the first table's ARN names, where the configuration names it in no other way."""
    return region_of(getattr(config.tables[0], side))


def _identity(side: Side) -> str | None:
    return aws.caller(side)


def _pair_evidence(pair_id: str, before: Before, recorded: Record, clock: Clock) -> PairEvidence:
    source, target = before.tables[pair_id]
    found = recorded.pairs.get(pair_id)
    read = found.comparison if found else None
    if read is not None:
        read = msgspec.structs.replace(
            read,
            started_epoch=read.started_epoch + clock.ahead_seconds,
            ended_epoch=read.ended_epoch + clock.ahead_seconds,
        )
    return PairEvidence(id=pair_id, source=source, target=target, comparison=read)


def _read_units(pair: PairEvidence) -> float:
    if pair.comparison is None:
        return 0.0
    return pair.comparison.source_read_units + pair.comparison.target_read_units
