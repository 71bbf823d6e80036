"""
Open, or closed with every reason.

The evidence is judged against the world as it is now: the tables are described anew, the
digests computed anew, the pipeline looked at anew. Whatever cannot be established closes.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from ddbverify.compare.comparison import KnownKeys
from ddbverify.config import Config
from ddbverify.errors import EngineError
from ddbverify.evidence import digests, folders, row, signing
from ddbverify.evidence import evidence as documents
from ddbverify.evidence.consistency import contradictions
from ddbverify.evidence.envelope import NotTrusted, PublicKey
from ddbverify.evidence.evidence import Evidence, Unclaimed
from ddbverify.evidence.links import link_of
from ddbverify.evidence.record import TableRecord
from ddbverify.gate.links import Chains
from ddbverify.gate.reasons import AWS_REFUSED, FAILED, INCOMPLETE, NOT_TRUSTED, STALE, Reason, in_order
from ddbverify.gate.requirements import unmet
from ddbverify.gate.superseded import Judged, superseded
from ddbverify.gate.unclaimed import unclaimed
from ddbverify.pipeline import health as pipeline
from ddbverify.pipeline.newest_run import NewestRun
from ddbverify.plugins.loading import Plugins
from ddbverify.suite.definitions import defined_checks
from ddbverify.tables import table as tables
from ddbverify.words import number_of, were

# Both moments are of DynamoDB's clock; its regions may differ by this much, and tell whole seconds.
CLOCK_SKEW_SECONDS = 10.0

_AGAIN = "run again without --since"
"""Where it is a run before the judged one that does not count any more: a link would stand on it, too."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate says. It is open exactly when there is no reason for it to be closed."""

    folder: Path
    reasons: tuple[Reason, ...]
    evidence: Evidence | None = field(repr=False)
    sha256: str | None = None  # of the evidence file that was judged
    unclaimed: tuple[Unclaimed, ...] = ()  # differences that no check answers for, and that are allowed
    stands_on: tuple[Evidence, ...] = field(default=(), repr=False)  # runs that the judged one goes on from

    @property
    def open(self) -> bool:
        """Whether the cutover may go ahead, as far as the evidence is concerned."""
        return not self.reasons and self.evidence is not None

    @property
    def exit_code(self) -> int:
        """0 when open, else the highest of the reasons'."""
        return max((reason.exit_code for reason in self.reasons), default=0 if self.open else NOT_TRUSTED)

    def as_json(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {
            "command": "gate",
            "open": self.open,
            "exit_code": self.exit_code,
            "folder": str(self.folder),
            "run_id": self.evidence.run_id if self.evidence else None,
            "evidence_sha256": self.sha256,
            "reasons": [
                {"code": reason.code, "exit_code": reason.exit_code, "message": reason.message}
                for reason in self.reasons
            ],
            "known": [msgspec.to_builtins(one) for one in self.known],
            "unclaimed": [msgspec.to_builtins(one) for one in self.unclaimed],
            "empty": list(self.empty),
        }

    @property
    def known(self) -> tuple[KnownKeys, ...]:
        """Differences that plugins accept: they keep no gate closed, and nobody shall overlook them."""
        runs = (self.evidence, *self.stands_on) if self.evidence else ()
        return tuple(
            one for run in runs for pair in run.pairs if pair.comparison for one in pair.comparison.known
        )

    @property
    def empty(self) -> tuple[str, ...]:
        """Pairs of which nothing was compared, since both tables were empty and may be."""
        return self.evidence.empty_pairs if self.evidence else ()


def judge(
    config: Config,
    folder: Path | None = None,
    *,
    not_before: float | None = None,
    allow_churning: bool | None = None,
    now: float | None = None,
) -> Decision:
    """
    Judge the evidence of one run, by default the latest.

    Args:
        config: The settings as they are now.
        folder: The run's folder.
        not_before: The run has to have started at this time or later (seconds since the epoch);
            the cutover gives the moment of its fence.
        allow_churning: Whether keys that never held still may pass; by default what
            ``[gate] churning`` says. Under a fence nothing moves, so the cutover says False.
        now: Seconds since the epoch; DynamoDB's own clock by default, since this machine's may be
            off, or may have been set back.

    Raises:
        ConfigurationError: The configuration itself cannot be used: no such profile, a transform
            that does not load, a key that is no key.
    """
    folder = folders.last(config) if folder is None else folder
    churning = config.gate.churning if allow_churning is None else allow_churning
    folders.make_importable(config)
    checks = folders.checks_folder(config)
    plugins = Plugins.of(config, checks)
    followed, noted, unhealthy = _look_at_pipelines(config, under_fence=not_before is not None)
    try:
        trusted = signing.trusted_keys(config)
    except EngineError as error:
        reason = Reason("aws", AWS_REFUSED, f"The trusted keys cannot be read. {error.message}")
        return Decision(folder, in_order((reason, *unhealthy)), None)
    try:
        content, found = _read(folder, trusted)
    except NotTrusted as error:
        reason = Reason("evidence", NOT_TRUSTED, f"The evidence in {folder} cannot be used: {error}.")
        return Decision(folder, in_order((reason, *unhealthy)), None)
    sha256 = hashlib.sha256(content).hexdigest()
    if now is None:
        try:
            now = tables.server_time(config.source, config.tables[0].source)
        except EngineError as error:
            message = f"DynamoDB cannot be asked what time it is. {error.message}"
            unhealthy.append(Reason("aws", AWS_REFUSED, message))
            now = time.time()
    defined = defined_checks(checks, plugins)
    chains = Chains(config, trusted, defined, now, folder)
    stands_on = chains.bases(found)
    reasons = [
        *(Reason("contradiction", NOT_TRUSTED, _contradicts(one)) for one in contradictions(found)),
        *_bound(config, found, checks, plugins),
        *_timely(config, found, not_before, now),
        *unmet(config, found, defined, churning=churning),
        *chains.broken(found),
        *_read_to_the_end(config, found, not_before),
        *_followed(found, followed),
        *(reason for run in stands_on for reason in _followed(run, followed, _AGAIN)),
        *unhealthy,
        *_known_no_more(found, now),
        *(reason for run in stands_on for reason in _known_no_more(run, now, _AGAIN)),
        *(Reason("veto", INCOMPLETE, veto) for veto in plugins.vetoes(msgspec.json.encode(found), folder)),
        *superseded(config, Judged(folder, found, sha256), trusted, noted),
        *_in_a_row(config, folder, found, chains, churning=churning),
    ]
    allowed = tuple(
        one
        for run in (found, *stands_on)
        for one in unclaimed(config.gate, run.pairs, run.checks)
        if one.allowed
    )
    return Decision(folder, in_order(reasons), found, sha256, allowed, stands_on)


def _contradicts(one: str) -> str:
    return (
        f"The evidence contradicts itself: {one}. Run again; if that helps nothing, it is a defect of ours."
    )


def _read(folder: Path, trusted: tuple[PublicKey, ...]) -> tuple[bytes, Evidence]:
    content = row.content(folder)
    if not trusted:
        raise NotTrusted("no key is trusted: there is no signing key, and [gate] trusted_keys is empty")
    return content, documents.decode(content, trusted)


def _look_at_pipelines(
    config: Config, *, under_fence: bool
) -> tuple[dict[str, float], list[NewestRun], list[Reason]]:
    """When each pair's target began to follow, which runs are noted, and what is wrong with the pipelines."""
    followed: dict[str, float] = {}
    noted: list[NewestRun] = []
    reasons: list[Reason] = []
    for pair in config.tables:
        try:
            health = pipeline.health(config, pair)
        except EngineError as error:
            message = f"{pair}: the pipeline cannot be looked at. {error.message}"
            reasons.append(Reason("aws", AWS_REFUSED, message))
            continue
        if health.following_since is not None:
            followed[pair.id] = health.following_since
        if health.newest_run is not None and health.newest_run not in noted:
            noted.append(health.newest_run)
        if health.fence is not None and not under_fence:
            reasons.append(Reason("fenced", INCOMPLETE, health.fence))
        if health.moved is not None:
            reasons.append(Reason("cut-over", INCOMPLETE, f"{health.moved}."))
        reasons += [
            Reason("pipeline", INCOMPLETE, f"{pair}: the pipeline is not healthy: {problem}.")
            for problem in health.problems
            if problem != health.moved
        ]
    return followed, noted, reasons


def _bound(config: Config, found: Evidence, checks: Path, plugins: Plugins) -> Iterator[Reason]:
    """Exactly these tables, these settings, these checks, these transforms, these programs."""
    in_evidence = {pair.id: pair for pair in found.pairs}
    for pair in config.tables:
        verified = in_evidence.get(pair.id)
        if verified is None:
            yield Reason("tables", NOT_TRUSTED, f"{pair}: the evidence is not about this pair.")
            continue
        for role, side, name, then in (
            ("source", config.source, pair.source, verified.source),
            ("target", config.target, pair.target, verified.target),
        ):
            try:
                current = TableRecord.of(tables.describe(side, name))
            except EngineError as error:
                yield Reason("aws", AWS_REFUSED, f"{pair}: the {role} cannot be looked at. {error.message}")
                continue
            if current != then:
                message = f"{pair}: the {role} is not the table that was verified ({then.arn}); run again."
                yield Reason("tables", NOT_TRUSTED, message)
    yield from _unchanged(config, found, checks, plugins)


def _unchanged(config: Config, found: Evidence, checks: Path, plugins: Plugins) -> Iterator[Reason]:
    now = digests.current(config, checks)
    # Another coverage is said as such: `run --sample` brings one, and leaves migration.toml as it is.
    as_read = msgspec.structs.replace(config.verification, coverage=found.coverage)
    sampled = digests.configuration_digest(msgspec.structs.replace(config, verification=as_read))
    for what, is_same in (
        ("migration.toml", found.digests.configuration in (now.configuration, sampled)),
        ("the checks folder", now.checks == found.digests.checks),
        ("ddbverify itself", now.program == found.digests.program),
        ("a transform", now.transforms == found.digests.transforms),
        ("a plugin, or the set of them,", plugins.records == found.extensions),
        ("a program (pytest, ddbverify or a plugin)", installed(found.plugins) == found.plugins),
    ):
        if not is_same:
            message = f"Since the run, {what} has changed; run `ddbverify run` again."
            yield Reason("changed", NOT_TRUSTED, message)


def installed(plugins: dict[str, str]) -> dict[str, str]:
    """The same distributions in the versions that are here now; nothing for those that are not."""
    installed = {}
    for name in {"ddbverify", "pytest", *plugins}:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            if name == "ddbverify":  # run from a checkout that is not installed
                installed[name] = documents.tool_version()
    return installed


def _timely(config: Config, found: Evidence, not_before: float | None, now: float) -> Iterator[Reason]:
    age = now - found.ended_epoch
    max_age = float(config.gate.max_age)
    if age > max_age or now > found.valid_until_epoch:
        message = f"The evidence is {age:.0f} s old, and at most {max_age:.0f} s are allowed; run again."
        yield Reason("stale", STALE, message)
    if found.ended_epoch > now + CLOCK_SKEW_SECONDS:
        message = f"The evidence is from the future, by {found.ended_epoch - now:.0f} s; run again."
        yield Reason("future", NOT_TRUSTED, message)
    for pair in found.pairs:
        read = pair.comparison
        began = found.started_epoch if read is None else min(found.started_epoch, read.started_epoch)
        if not_before is not None and began < not_before:
            message = (
                f"The run began {not_before - began:.0f} s before the moment it has to prove; run again."
            )
            yield Reason("too-early", STALE, message)


def _known_no_more(found: Evidence, now: float, again: str = "run again") -> Iterator[Reason]:
    """A difference that was accepted until a day counts from then on."""
    today = datetime.fromtimestamp(now, UTC).date()
    for pair in found.pairs:
        for one in pair.comparison.known if pair.comparison else ():
            if one.expires < today:
                message = (
                    f"{pair.id}: {number_of(one.keys, 'difference')} {were(one.keys)} accepted by "
                    f"{one.plugin} until {one.expires}, "
                    f"and count again; {again}."
                )
                yield Reason("known", FAILED, message)


def _read_to_the_end(config: Config, found: Evidence, not_before: float | None) -> Iterator[Reason]:
    """Under a fence a link has waited for late records: what it would not meet, no later one will."""
    link, wanted = link_of(found), float(config.cutover.stream_lag)
    if link is not None and not_before is not None and link.lag_seconds < wanted:
        message = (
            f"The streams were taken to be read to their ends after {link.lag_seconds:g} s without a record, "
            f"and [cutover] stream_lag asks for {wanted:g} s; run again."
        )
        yield Reason("chain", INCOMPLETE, message)


def _followed(found: Evidence, followed: dict[str, float], again: str = "run again") -> Iterator[Reason]:
    """While the overlap replays, items pass through older states: such a pass proves nothing."""
    for pair in found.pairs:
        since = followed.get(pair.id)
        if since is not None and pair.comparison is not None and pair.comparison.started_epoch < since:
            message = f"{pair.id}: the pass began before the target followed the source; {again}."
            yield Reason("before-following", INCOMPLETE, message)


def _in_a_row(
    config: Config,
    folder: Path,
    found: Evidence,
    chains: Chains,
    *,
    churning: bool,
) -> Iterator[Reason]:
    """As many clean runs as ``[gate] clean_runs`` asks for, the judged one being the last of them."""
    wanted = config.gate.clean_runs
    if wanted <= 1:
        return

    def is_clean(run: Evidence) -> bool:
        # Under a fence the judged run may have no churning keys; those before it were made on live tables.
        allowed = churning if run is found else config.gate.churning
        by_itself = not any(contradictions(run)) and not any(
            unmet(config, run, chains.defined, churning=allowed)
        )
        return by_itself and not any(chains.broken(run))

    clean, why = row.count(config, folder, found, chains.trusted, is_clean=is_clean, wanted=wanted)
    if clean < wanted:
        message = f"{clean} clean runs in a row, and [gate] clean_runs = {wanted}: {why}; run again."
        yield Reason("clean-runs", INCOMPLETE, message)
