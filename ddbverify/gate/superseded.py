"""
Whether the judged run is the last word: older evidence must not stand in for a later run.

Evidence is a file, and files can be copied. So the folder of a run is held against the id that was
signed, and every other run that left a trace beside ``migration.toml`` is looked at, whatever
``latest`` points at. What a run that left no evidence was, its folder's name says. With a pipeline
the state table may know of a run on another machine, too.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ddbverify.config import Config
from ddbverify.evidence import evidence as documents
from ddbverify.evidence import folders, row, signing
from ddbverify.evidence.envelope import NotTrusted, PublicKey
from ddbverify.evidence.evidence import Evidence
from ddbverify.gate.reasons import INCOMPLETE, Reason
from ddbverify.pipeline.newest_run import NewestRun


@dataclass(frozen=True, slots=True)
class Judged:
    """The run that is judged: where it lies, what it says, and the digest of the file that says so."""

    folder: Path
    evidence: Evidence
    sha256: str


def superseded(
    config: Config, judged: Judged, trusted: tuple[PublicKey, ...], noted: Iterable[NewestRun] = ()
) -> Iterator[Reason]:
    """
    Say that another run has the last word, if one has.

    Args:
        config: It says where runs are kept.
        judged: One whose folder lies elsewhere (an artifact, say) is judged by its content.
        trusted: Keys that are believed.
        noted: What state tables know of the newest run.
    """
    found, folder = judged.evidence, judged.folder
    for one in noted:
        if one.run_id == found.run_id and one.sha256 not in ("", judged.sha256):
            message = f"The state table knows another evidence file of the run {found.run_id}; run again."
            yield Reason("superseded", INCOMPLETE, message)
        if one.run_id != found.run_id and one.started_ms > found.started_epoch * 1000:
            message = f"The state table says that a later run was started, {one.run_id}; run again."
            yield Reason("superseded", INCOMPLETE, message)
    here = _real(folder)
    if here.parent == _real(folders.runs(config)) and here.name != found.run_id:
        message = (
            f"The folder {here.name} holds the evidence of another run, {found.run_id}; "
            "judge the folder of that name, or run again."
        )
        yield Reason("superseded", INCOMPLETE, message)
    for other in _traces(config):
        if _real(other) == here:
            if _is_a_later_link(other, found):
                message = (
                    f"A later run was started, {other.name}, and its folder holds the evidence of "
                    f"{found.run_id}; run again."
                )
                yield Reason("superseded", INCOMPLETE, message)
                return
        elif _is_later(other, here, found, trusted):
            message = f"A later run was started, {other.name}; judge that one, or run again."
            yield Reason("superseded", INCOMPLETE, message)
            return


def newest(config: Config) -> NewestRun | None:
    """
    The run that was started last, of those that left a trace here; ``None`` where none did.

    Raises:
        ConfigurationError: The trusted keys cannot be used.
        EngineError: One is in KMS, which refused.
    """
    trusted = signing.trusted_keys(config)
    runs = [run for folder in _traces(config) if (run := _run_in(folder, trusted)) is not None]
    return max(runs, key=lambda run: (run.started_ms, run.sha256), default=None)


def _run_in(folder: Path, trusted: tuple[PublicKey, ...]) -> NewestRun | None:
    try:
        content = row.content(folder)
        found = documents.decode(content, trusted)
    except NotTrusted:  # it died, is under way, or its evidence is gone: its name says when it began
        began = folders.moment(folder.name)
        return NewestRun(folder.name, int(began.timestamp() * 1000), "") if began else None
    return NewestRun(found.run_id, int(found.started_epoch * 1000), hashlib.sha256(content).hexdigest())


def _traces(config: Config) -> list[Path]:
    """What stands in the folder of runs, the newest name first; and the one that ``latest`` points at."""
    runs, latest = folders.runs(config), folders.latest(config)
    inside = sorted(runs.iterdir(), reverse=True) if runs.is_dir() else []
    linked = [_real(latest) if latest.exists() else latest] if _is_there(latest) else []
    return [*inside, *linked]


def _is_later(other: Path, here: Path, found: Evidence, trusted: tuple[PublicKey, ...]) -> bool:
    left_evidence = True
    try:
        if documents.decode(row.content(other), trusted).started_epoch > found.started_epoch:
            return True
    except NotTrusted:  # it died, is under way, or its evidence is gone
        left_evidence = False
    named, judged = folders.moment(other.name), folders.moment(found.run_id)
    if named is None or judged is None:
        return not left_evidence and _traced(other) > found.started_epoch
    # The name also tells of a run whose evidence was replaced by an older one.
    return named > judged or (named == judged and not left_evidence and _traced(other) > _traced(here))


def _is_a_later_link(other: Path, found: Evidence) -> bool:
    """
    Whether a later run with ``--out`` has left this link, and the evidence where it leads is older.

    The link of an earlier one says nothing: its folder may have been emptied and used again.
    """
    if not other.is_symlink() or other.name == found.run_id:
        return False
    named, judged = folders.moment(other.name), folders.moment(found.run_id)
    return named is not None and judged is not None and named >= judged


def _traced(folder: Path) -> float:
    """When a run began to write here, by this machine's clock; 0.0 where none did."""
    settings = folder / folders.SETTINGS if folder.exists() else folder
    return settings.lstat().st_mtime if _is_there(settings) else 0.0


def _real(path: Path) -> Path:
    """Without links; a link that leads to itself stays as it is."""
    return Path(os.path.realpath(path))


def _is_there(path: Path) -> bool:
    return path.exists() or path.is_symlink()
