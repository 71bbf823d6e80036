"""
Whether the judged run is the last word: older evidence must not stand in for a later run.

Evidence is a file, and files can be copied. So the folder of a run is held against the id that was
signed, and every other run that left a trace beside ``migration.toml`` is looked at, whatever
``latest`` points at. What a run that left no evidence was, its folder's name says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ddbverify.config import Config
from ddbverify.evidence import evidence as documents
from ddbverify.evidence import folders, row
from ddbverify.evidence.envelope import NotTrusted, PublicKey
from ddbverify.evidence.evidence import Evidence
from ddbverify.gate.reasons import INCOMPLETE, Reason

_RUN_ID: Final = re.compile(r"(\d{8}T\d{6}Z)-[0-9a-f]{32}")


def superseded(
    config: Config, folder: Path, found: Evidence, trusted: tuple[PublicKey, ...]
) -> Iterator[Reason]:
    """
    Say that another run has the last word, if one has.

    Args:
        config: It says where runs are kept.
        folder: The judged run's. One that lies elsewhere (an artifact, say) is judged by its content.
        found: Its evidence.
        trusted: Keys that are believed.
    """
    here = folder.resolve()
    if here.parent == folders.runs(config).resolve() and here.name != found.run_id:
        message = (
            f"The folder {here.name} holds the evidence of another run, {found.run_id}; "
            "judge the folder of that name, or run again."
        )
        yield Reason("superseded", INCOMPLETE, message)
    for other in _others(config, here):
        if _is_later(other, here, found, trusted):
            message = f"A later run was started, {other.name}; judge that one, or run again."
            yield Reason("superseded", INCOMPLETE, message)
            return


def _others(config: Config, here: Path) -> Iterator[Path]:
    """What stands in the folder of runs, the newest name first; and the one that ``latest`` points at."""
    runs, latest = folders.runs(config), folders.latest(config)
    inside = sorted(runs.iterdir(), reverse=True) if runs.is_dir() else []
    linked = [latest.resolve() if latest.exists() else latest] if _is_there(latest) else []
    yield from (other for other in (*inside, *linked) if other.resolve() != here)


def _is_later(other: Path, here: Path, found: Evidence, trusted: tuple[PublicKey, ...]) -> bool:
    left_evidence = True
    try:
        if documents.decode(row.content(other), trusted).started_epoch > found.started_epoch:
            return True
    except NotTrusted:  # it died, is under way, or its evidence is gone
        left_evidence = False
    named, judged = _moment(other.name), _moment(found.run_id)
    if named is None or judged is None:
        return not left_evidence and _traced(other) > found.started_epoch
    # The name also tells of a run whose evidence was replaced by an older one.
    return named > judged or (named == judged and not left_evidence and _traced(other) > _traced(here))


def _moment(name: str) -> datetime | None:
    """The second in which the run of this name was started, by DynamoDB's clock; else ``None``."""
    matched = _RUN_ID.fullmatch(name)
    try:
        return datetime.strptime(matched[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) if matched else None
    except ValueError:
        return None


def _traced(folder: Path) -> float:
    """When a run began to write here, by this machine's clock; 0.0 where none did."""
    settings = folder / folders.SETTINGS if folder.exists() else folder
    return settings.lstat().st_mtime if _is_there(settings) else 0.0


def _is_there(path: Path) -> bool:
    return path.exists() or path.is_symlink()
