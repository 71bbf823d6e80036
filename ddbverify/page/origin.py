"""What a page is about: a folder of a run or of a diff, as its signed evidence or its summary has it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from ddbverify.config import Config
from ddbverify.diff import folder as diffs
from ddbverify.errors import ConfigurationError
from ddbverify.evidence import cutover, events, evidence, folders, links, repairs, row, signing
from ddbverify.evidence.cutover import CutoverEvidence
from ddbverify.evidence.envelope import NotTrusted, PublicKey
from ddbverify.evidence.events import Events
from ddbverify.evidence.evidence import NO_EVIDENCE, Evidence
from ddbverify.evidence.repairs import Tail
from ddbverify.page import watched
from ddbverify.page.watched import Watched

MOST_EARLIER: Final = 9
_MOST_LOOKED_AT: Final = 40


class DiffSummary(msgspec.Struct, frozen=True, kw_only=True):
    """``summary.json`` of a diff (docs/commands.md), as far as a page shows it."""

    verdict: str
    complete: bool
    finished: bool
    reasons: tuple[str, ...]
    read_units: dict[str, float | None]
    items: dict[str, int | None]
    segments: dict[str, int | None]
    causes: tuple[dict[str, Any], ...]
    strata: tuple[dict[str, Any], ...]
    tables: dict[str, str]
    notes: tuple[str, ...]
    started: str
    ended: str
    matched: int | None
    missing: int | None
    extraneous: int | None
    different: int | None
    excluded: int | None
    uncomparable: int | None
    churning: int | None
    undecided: int | None
    converged: int | None


@dataclass(frozen=True, slots=True)
class Earlier:
    """A run before the one of the page, in its row."""

    run_id: str
    verdict: str
    sha256: str
    changes_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """All that a page is made of but the findings."""

    folder: Path
    about: Evidence | DiffSummary
    sha256: str  # of evidence.json, or of summary.json
    key_id: str = ""  # that signed the evidence
    earlier: tuple[Earlier, ...] = ()  # the newest first
    row_ends: str = ""  # why there are no more, in words
    events: Events | None = None  # how its passes went
    cutover: CutoverEvidence | None = None
    cutover_sha256: str = ""
    fence_limit: float = 0.0  # of the settings as they are now
    clean_runs: int = 1  # likewise
    home: Path | None = None  # where the log of the migration lies
    watched: Watched | None = None
    repair: Tail | None = None  # what repair.json says that all its findings come to

    @property
    def findings(self) -> Path:
        """Where its findings are, if they are here."""
        return self.folder / folders.FINDINGS


def is_diff(folder: Path) -> bool:
    """Whether a folder is a diff's, so that no ``migration.toml`` is needed for it."""
    return (folder / diffs.SETTINGS).exists() and not (folder / folders.EVIDENCE).exists()


def of_diff(folder: Path) -> Origin:
    """
    Read the folder of a diff.

    Raises:
        ConfigurationError: It has not come to an end, or cannot be read.
    """
    path = folder / diffs.SUMMARY
    try:
        content = path.read_bytes()
        about = msgspec.json.decode(content, type=DiffSummary)
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"The comparison in {folder} has not come to an end: it has left no {diffs.SUMMARY}.",
            "give its command again with --resume, then ask for the report.",
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error.strerror}.", "let yourself read that file."
        ) from error
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ConfigurationError(
            f"{path} is damaged, or of another version of ddbverify.",
            "compare the tables again with `ddbverify diff --out` and another folder.",
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    return Origin(folder=folder, about=about, sha256=digest, events=_events(folder), repair=_repair(folder))


def of_run(folder: Path, config: Config) -> Origin:
    """
    Read the folder of a run, the runs before it as far as they are here, and the last cutover.

    Raises:
        NotTrusted: There is no evidence, or none that may be believed.
        ConfigurationError: A key that is trusted cannot be used.
        EngineError: KMS refused to show one.
    """
    trusted = signing.trusted_keys(config)
    content = row.content(folder)
    found = evidence.decode(content, trusted)
    earlier, ends = _earlier(folder, config, found, trusted)
    moved, moved_sha256 = _cutover(config, trusted)
    home = folders.home(config)
    return Origin(
        folder=folder,
        about=found,
        sha256=hashlib.sha256(content).hexdigest(),
        key_id=json.loads(content)["signatures"][0]["keyid"],
        earlier=earlier,
        row_ends=ends,
        events=_events(folder),
        cutover=moved,
        cutover_sha256=moved_sha256,
        fence_limit=float(config.cutover.fence_limit),
        clean_runs=config.gate.clean_runs,
        home=home,
        watched=watched.read(home, config.name),
        repair=_repair(folder),
    )


def _repair(folder: Path) -> Tail | None:
    return repairs.tail_of(folder / folders.REPAIR)


def _earlier(
    folder: Path, config: Config, found: Evidence, trusted: tuple[PublicKey, ...]
) -> tuple[tuple[Earlier, ...], str]:
    """The runs that each evidence names by its digest, going back."""
    known: list[Earlier] = []
    documents, run = _before(folder, config, found.run_id), found
    while len(known) < MOST_EARLIER:
        if run.previous is None:
            return tuple(known), f"{run.run_id} was the first run."
        if run.previous == NO_EVIDENCE:
            return tuple(known), f"The run before {run.run_id} has left no evidence."
        wanted = run.previous
        content = next((one for one in documents if hashlib.sha256(one).hexdigest() == wanted), None)
        if content is None:
            return tuple(known), f"The evidence of the run before {run.run_id} is not here."
        try:
            run = evidence.decode(content, trusted)
        except NotTrusted:
            return tuple(known), f"The evidence of the run before {run.run_id} cannot be believed."
        known.append(Earlier(run.run_id, run.verdict, wanted, links.is_link(run)))
    return tuple(known), "Runs before these are not shown."


def _before(folder: Path, config: Config, run_id: str) -> Iterator[bytes]:
    """Evidence files of earlier runs, the newest first; each is read when it is asked for."""
    began = folders.moment(run_id)
    places = {
        path.name: path
        for runs in (folder.resolve().parent, folders.runs(config))
        for path in (runs.iterdir() if runs.is_dir() else ())
        if (at := folders.moment(path.name)) and began and at <= began and path.name != run_id
    }
    for name in sorted(places, reverse=True)[:_MOST_LOOKED_AT]:
        try:
            yield row.content(places[name])
        except NotTrusted:
            continue  # that one is missed in the row is said there


def _events(folder: Path) -> Events | None:
    path = folder / folders.EVENTS
    try:
        return events.read(path)
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error.strerror}.", "let yourself read that file, or move it away."
        ) from error


def _cutover(config: Config, trusted: tuple[PublicKey, ...]) -> tuple[CutoverEvidence | None, str]:
    """The last attempt, where its evidence may be believed."""
    try:
        content = cutover.path(config).read_bytes()
        found = cutover.decode(content, trusted)
    except (
        OSError,
        NotTrusted,
    ):  # a page on a run tells of a cutover by the way; `evidence` says what is wrong
        return None, ""
    return found, hashlib.sha256(content).hexdigest()
