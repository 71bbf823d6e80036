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
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from ddbverify import config as configuration
from ddbverify.config import Config, Side
from ddbverify.errors import ConfigurationError, EngineError
from ddbverify.evidence import evidence, folders, record, repairs, row, sealing, signing
from ddbverify.evidence.envelope import PublicKey, SigningKey
from ddbverify.evidence.events import EventLog
from ddbverify.evidence.evidence import Evidence, PairEvidence
from ddbverify.evidence.record import Fact, Record
from ddbverify.gate import gate
from ddbverify.gate.links import Chains, candidates
from ddbverify.gate.reasons import AWS_REFUSED, INCOMPLETE
from ddbverify.gate.unclaimed import unclaimed
from ddbverify.names import region_of
from ddbverify.pipeline import health as pipeline
from ddbverify.plugins import of_pytest
from ddbverify.plugins.loading import Plugins
from ddbverify.reports import summary
from ddbverify.runs import child, filters
from ddbverify.runs.clock import Clock
from ddbverify.runs.result import RunResult
from ddbverify.runs.shortcomings import Before, changed_since, samples, shortcomings, unread
from ddbverify.runs.since import Predecessor, look, require_believable
from ddbverify.runs.unbound import unbound
from ddbverify.runs.word import Checks, Watched, Word
from ddbverify.session import watchdog
from ddbverify.suite.definitions import defined_checks
from ddbverify.tables import aws
from ddbverify.tables.hosts import is_aws
from ddbverify.words import plain

INTERRUPTED = "it was interrupted"

_USAGE_ERROR = 4  # https://docs.pytest.org/en/stable/reference/exit-codes.html


def run(
    config_file: Path,
    *,
    out: Path | None = None,
    coverage: str | None = None,
    since: str | None = None,
    extra: Sequence[str] = (),
    output_to_stderr: bool = False,
    marked: bool = False,
    word: Word | None = None,
    say: Callable[[str], None] = lambda _: None,
    watched: Watched | None = None,
) -> RunResult:
    """
    Run all checks, and leave signed evidence of it.

    Args:
        config_file: The ``migration.toml``.
        out: Folder of the run; it must be empty or not exist.
        coverage: Instead of the configured one.
        since: ``latest``, or the folder of a run: where that has passed, only what was written since is
            looked at. Where it has not, or that cannot be known, the tables are read.
        extra: Further arguments for pytest. What they leave out closes the gate.
        output_to_stderr: Keep standard output free for the caller.
        marked: Whether somebody writes markers to both tables until the streams have been read.
        word: Waited for, once everything is loaded that does not depend on the moment.
        say: Is told before anything is read, in a line each, what the run takes of the tables' capacity,
            and what makes it go in vain.
        watched: Is given the run's event log as soon as there is one.

    Raises:
        ConfigurationError: The run could not start.
        EngineError: AWS refused before anything was read.
        Refused: The word did not come.
    """
    start = _start(config_file, coverage, since, extra, out, waits=word is not None)
    for line in (*_in_vain(start.config), *start.before.shares, *_other_transforms(start.config)):
        say(line)
    checks = Checks(
        lambda changed: child.command(
            *(config_file, start.folder, start.checks),
            coverage=coverage,
            changed=changed,
            extra=extra,
            plugins=of_pytest.entry_points(start.config.checks.pytest_plugins),
            watched=watched is not None,
        ),
        start.config.folder,
        start.folder,
        to_stderr=output_to_stderr,
        lines=watched(start.folder / folders.EVENTS) if watched else None,
    )
    if word is not None:
        checks.load(word, start.folder if isinstance(start.since, Predecessor) else None)
        start = _begun(start)
    try:
        with _writing(start.folder):
            lag_seconds = float(start.config.cutover.stream_lag)
            streams = look(
                start.config, start.folder, start.since, lag_seconds=lag_seconds, marked=marked, say=say
            )
        try:
            interrupted, status = checks.run(streams.changed, say)
        finally:
            streams.forget(start.config)
    finally:
        checks.end()
    recorded = record.read(start.folder / folders.RECORD)
    if recorded.exit_status is None and status == _USAGE_ERROR and not recorded.checks:
        raise ConfigurationError(
            "pytest refused its arguments, or checks/conftest.py does not load; what it says stands above.",
            "mend the arguments after --, conftest.py or migration.toml.",
        )
    others = unbound(recorded, start.before.bound, start.config.folder, start.folder)
    stuck = watchdog.place_in(start.folder / folders.STUCK, start.checks, start.config.folder.resolve())
    lacking = [
        *([INTERRUPTED] if interrupted else []),
        *shortcomings(recorded, status, start.before, stuck),
        *others.shortcomings,
        *unread(recorded),
        *streams.unlooked(recorded),
        *samples(recorded, asked=coverage is not None),
        *changed_since(start.before, config_file, coverage, start.checks, start.plugins),
        *start.clock.was_set(),
    ]
    found = _evidence(start, recorded, lacking, (*streams.facts, *others.facts))
    _leave(start, found)
    refused = found.verdict == "inconclusive" and recorded.was_refused
    exit_code = AWS_REFUSED if refused else {"passed": 0, "failed": 1, "inconclusive": 3}[found.verdict]
    unreported = tuple(start.plugins.report(msgspec.json.encode(found), start.folder))
    return RunResult(
        folder=start.folder,
        evidence=found,
        exit_code=exit_code or (INCOMPLETE if unreported else 0),
        unreported=unreported,
        new_key=start.key if isinstance(start.key, signing.FileKey) and start.key.is_new else None,
        trusted=start.key.public in start.trusted,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """All that is settled before the child is started, and that its evidence is bound to."""

    config: Config
    checks: Path
    plugins: Plugins
    before: Before
    endpoints: dict[str, str]
    emulator: bool
    identities: dict[str, str | None]
    clock: Clock
    started: float
    key: SigningKey
    trusted: tuple[PublicKey, ...]
    sealed_for: sealing.Recipient | None
    run_id: str
    previous: str | None
    since: Predecessor | str | None
    folder: Path


def _start(
    config_file: Path,
    coverage: str | None,
    since: str | None,
    extra: Sequence[str],
    out: Path | None,
    *,
    waits: bool,
) -> _Start:
    """Look at everything once, and make the run's folder last: whatever is refused leaves none."""
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
    clock = Clock(config)
    started = clock.now()
    key = signing.signing_key(config)  # made by the first run that can start, which says so
    key.sign(b"may this run sign?")  # KMS could refuse, and not only after an hour of reading
    trusted, sealed_for = signing.trusted_keys(config), sealing.recipient(config)
    run_id = folders.new_run_id(started)
    previous = row.previous(config, trusted)  # before `latest` points at this one
    if since is not None and not emulator:
        require_believable(float(config.cutover.stream_lag))
    goes_on_from = _predecessor(config, since, before, plugins, checks, trusted, started)
    if not waits:
        folder = folders.make_run_folder(config, run_id, out)
    elif out is not None:
        folder = folders.make_folder_ahead(config, out)
    else:
        raise ConfigurationError(
            "A run that waits for a word is called by the second of that word, and has no folder before.",
            "name its folder with --out.",
        )
    folder = folder.resolve()
    with _writing(folder):
        settings = child.ini_text(filters.project_filters(_place_in_project(config, checks)))
        (folder / folders.SETTINGS).write_text(settings, encoding="utf-8")
    EventLog(folder / folders.EVENTS).begin("run", run_id)
    return _Start(
        config=config,
        checks=checks,
        plugins=plugins,
        before=before,
        endpoints=endpoints,
        emulator=emulator,
        identities=identities,
        clock=clock,
        started=started,
        key=key,
        trusted=trusted,
        sealed_for=sealed_for,
        run_id=run_id,
        previous=previous,
        since=goes_on_from,
        folder=folder,
    )


def _begun(start: _Start) -> _Start:
    """The same, as of now: when it began, what it is called, and which run was the one before."""
    config, clock = start.config, Clock(start.config)
    started = clock.now()
    run_id, previous = folders.new_run_id(started), row.previous(config, start.trusted)
    with _writing(start.folder):
        folders.enter(config, run_id, start.folder)
    return replace(start, clock=clock, started=started, run_id=run_id, previous=previous)


def _predecessor(
    config: Config,
    since: str | None,
    before: Before,
    plugins: Plugins,
    checks: Path,
    trusted: tuple[PublicKey, ...],
    now: float,
) -> Predecessor | str | None:
    """The run to go on from, or why there is none; ``None``: that was not asked for."""
    if since is None:
        return None
    if config.verification.last == "full":
        return '[verification] last = "full" says so'
    chains = Chains(config, trusted, defined_checks(checks, plugins), now, folders.runs(config))
    places = candidates(config) if since == "latest" else [config.folder / since]
    found = chains.newest(places)
    if isinstance(found, str):
        return found
    evidence, sha256 = found
    tables_then = {pair.id: (pair.source, pair.target) for pair in evidence.pairs}
    then = (evidence.digests, evidence.extensions, tables_then, gate.installed(evidence.plugins))
    if then != (before.digests, before.extensions, before.tables, evidence.plugins):
        return f"{evidence.run_id} was about other tables, settings, checks or programs"
    base = (evidence, *chains.bases(evidence))[-1]
    return Predecessor(evidence, sha256, frozenset(base.empty_pairs))


def _place_in_project(config: Config, checks: Path) -> Path:
    """Where to look from for the project's settings: what is above the default suite is another project."""
    return checks if (config.folder / "checks").is_dir() else config.folder.resolve()


def _evidence(start: _Start, recorded: Record, lacking: Sequence[str], facts: tuple[Fact, ...]) -> Evidence:
    config, ended = start.config, start.clock.now()
    checks = tuple(recorded.checks.values())
    pairs = tuple(_pair_evidence(pair.id, start, recorded) for pair in config.tables)
    nobodys = unclaimed(config.gate, pairs, checks)
    return Evidence(
        schema=evidence.SCHEMA,
        run_id=start.run_id,
        previous=start.previous,
        tool_version=evidence.tool_version(),
        verdict=evidence.verdict_of(checks, complete=not lacking, unclaimed=nobodys),
        complete=not lacking,
        shortcomings=tuple(lacking),
        unclaimed=nobodys,
        coverage=config.verification.coverage,
        pairs=pairs,
        checks=checks,
        facts=(*recorded.facts, *facts, *_empty(config, pairs)),
        digests=start.before.digests,
        extensions=start.before.extensions,
        plugins=recorded.plugins or _programs(),
        identities=start.identities,
        endpoints=start.endpoints,
        emulator=start.emulator,
        started_epoch=start.started,
        ended_epoch=ended,
        valid_until_epoch=ended + config.gate.max_age,
    )


def _empty(config: Config, pairs: Sequence[PairEvidence]) -> Iterator[Fact]:
    """What excuses checks of a pair that have examined nothing; without it the gate calls them vacuous."""
    for settings, pair in zip(config.tables, pairs, strict=True):
        if settings.may_be_empty and pair.comparison is not None and pair.comparison.holds_nothing:
            yield Fact(name="empty", about=pair.id, value="may_be_empty = true")


def _leave(start: _Start, found: Evidence) -> None:
    """Write what others read; the evidence last, since a folder without it is that of a run that died."""
    folder = start.folder
    with _writing(folder):
        repairs.drop_unfinished(folder)
        if start.sealed_for is not None and (folder / folders.FINDINGS).exists():
            sealing.seal(folder / folders.FINDINGS, folder / folders.SEALED, start.sealed_for)
        folders.write_atomically(folder / folders.SUMMARY, summary.cut(summary.markdown(found)))
        folders.write_atomically(folder / folders.EVIDENCE, evidence.encode(found, start.key))
    EventLog(folder / folders.EVENTS).verdict(found.verdict, complete=found.complete)


def _programs() -> dict[str, str]:
    """What would have been run, where nothing was."""
    return {"ddbverify": evidence.tool_version(), "pytest": importlib.metadata.version("pytest")}


def _in_vain(config: Config) -> Iterator[str]:
    """Before anything is read: behind a flip, or a pause, keys that differ are looked at in vain."""
    try:
        said = pipeline.in_vain(config)
    except EngineError:  # not here to judge, as below
        return
    if said is not None:
        yield f"warning: {plain(said)}."


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


def _pair_evidence(pair_id: str, start: _Start, recorded: Record) -> PairEvidence:
    source, target = start.before.tables[pair_id]
    found = recorded.pairs.get(pair_id)
    read = found.comparison if found else None
    if read is not None:
        read = msgspec.structs.replace(
            read,
            started_epoch=read.started_epoch + start.clock.ahead_seconds,
            ended_epoch=read.ended_epoch + start.clock.ahead_seconds,
        )
    return PairEvidence(id=pair_id, source=source, target=target, comparison=read)
