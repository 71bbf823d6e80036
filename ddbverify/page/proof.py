"""Whether a page is what a folder says: it is made anew, and compared byte by byte."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ddbverify.config import Config
from ddbverify.errors import ConfigurationError
from ddbverify.evidence import cutover, folders
from ddbverify.evidence.evidence import Evidence
from ddbverify.page import making, stamp, tally, watched
from ddbverify.page.origin import Origin
from ddbverify.page.stamp import Stamp
from ddbverify.page.tally import NOTHING, Tally

_MOST_BYTES = 16 * 2**20

_WHICH = {
    "findings": "the findings",
    "row": "the runs before it",
    "cutover": "the cutover",
    "course": "how the pass went",
    "migration": "the migration",
    "repair": "what can be repaired",
}

_FROM = {
    "findings": folders.FINDINGS,
    "row": "the evidence of runs before it",
    "cutover": cutover.FILE,
    "course": folders.EVENTS,
    "migration": watched.LOG,
    "repair": folders.REPAIR,
}


@dataclass(frozen=True, slots=True)
class Proof:
    """What became of it; only `unaltered` is good."""

    outcome: Literal["unaltered", "undecided", "altered"]
    sentence: str


def read(path: Path) -> tuple[bytes, Stamp]:
    """
    A page, and what it says it was made of.

    Raises:
        ConfigurationError: It cannot be read, or is none.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise _no_page(path)
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.", "name a report.") from error
    found = stamp.found_in(content)
    if found is None:
        raise _no_page(path)
    return content, found


def _no_page(path: Path) -> ConfigurationError:
    return ConfigurationError(
        f"{path} is no report of ddbverify, or what it says of itself was altered.",
        "name a report, or make it anew with `ddbverify report`.",
    )


def verify(page: bytes, made_of: Stamp, folder: Path, config: Config | None) -> Proof:
    """
    Hold a page against a folder.

    Args:
        page: Its bytes.
        made_of: Its stamp, of which nothing is believed: the page is made anew as it says.
        folder: Of the run or the diff.
        config: See `making.make`.

    Raises:
        NotTrusted: The evidence there must not be believed.
        ConfigurationError: The folder is that of neither, or Jinja2 is missing.
        EngineError: KMS refused to show a trusted key.
    """
    making.require_possible()
    if made_of.maker != stamp.maker():
        return Proof(
            "undecided",
            "It cannot be told whether this page is unaltered: another version of ddbverify says that it "
            "made it.",
        )
    origin = making.read_origin(folder, config)
    if origin.sha256 != made_of.of:
        return Proof(
            "altered",
            f"This page is not about what is in {folder}: it names {made_of.of}, and {origin.sha256} is "
            "there.",
        )
    origin, found, unknown = _as_then(origin, made_of)
    anew = making.render(origin, found, keys=made_of.keys).content
    of_diff = made_of.kind == "diff"
    if not unknown and page == anew:
        return (
            _of_diff()
            if of_diff
            else Proof(
                "unaltered",
                f"This page is unaltered, and belongs to the evidence {made_of.of}, which is signed.",
            )
        )
    if unknown and _same_but_for(page, anew, made_of, unknown):
        parts = " and ".join(_WHICH[one] for one in unknown)
        return Proof(
            "undecided",
            f"What this page takes from {'summary.json' if of_diff else 'the evidence'} is unaltered; its "
            f"part on {parts} cannot be told: {'; '.join(_why_unknown(one, origin) for one in unknown)}.",
        )
    return Proof("altered", f"This page has been altered since it was made, or is not of {folder}.")


def _why_unknown(part: str, origin: Origin) -> str:
    """What a part was made of, and what has become of it."""
    paths = {"findings": folders.FINDINGS, "course": folders.EVENTS, "repair": folders.REPAIR}
    path = origin.folder / paths[part] if part in paths else None
    if part == "row":
        return f"{_FROM[part]} is not all here, or is other, or [gate] clean_runs is"
    if part == "cutover":
        return f"{_FROM[part]} is not here, is another by now, or fence_limit is"
    if part == "migration":
        return f"{_FROM[part]} is not here, or another has taken its place"
    is_here = path is not None and path.exists()
    return f"{_FROM[part]} has changed since" if is_here else f"{_FROM[part]} is not in {origin.folder}"


def _of_diff() -> Proof:
    return Proof(
        "undecided",
        "This page is what the folder of the diff says, to the byte; whether that folder is unaltered nobody "
        "can tell, since nothing in it is signed.",
    )


def _as_then(origin: Origin, made_of: Stamp) -> tuple[Origin, Tally | None, tuple[str, ...]]:
    """What the page was made of, as far as it is here now, and which parts of it are not."""
    unknown = []
    if made_of.findings is None:
        found = None
    elif made_of.findings == NOTHING:
        found = Tally()
    else:
        found = tally.read(origin.findings, keys=made_of.keys)
        if found is None or found.sha256 != made_of.findings:
            unknown.append("findings")
            found = None
    now = stamp.stamp_of(origin, None, keys=False)
    if (now.row, now.row_ends, now.clean_runs) != (made_of.row, made_of.row_ends, made_of.clean_runs):
        unknown.append("row")
    if made_of.events is None:
        origin = dataclasses.replace(origin, events=None)
    elif now.events != made_of.events:
        unknown.append("course")
    origin, is_known = _watched_then(origin, made_of)
    if not is_known:
        unknown.append("migration")
    if made_of.cutover is None:
        origin = dataclasses.replace(origin, cutover=None, cutover_sha256="")
    elif (now.cutover, now.fence_limit) != (made_of.cutover, made_of.fence_limit):
        unknown.append("cutover")
    if made_of.repair is None:
        origin = dataclasses.replace(origin, repair=None)
    elif now.repair != made_of.repair:
        unknown.append("repair")
    return origin, found, tuple(unknown)


def _watched_then(origin: Origin, made_of: Stamp) -> tuple[Origin, bool]:
    """With as much of the migration's log as there was, and whether that is what it was."""
    if made_of.watched is None or origin.home is None or not isinstance(origin.about, Evidence):
        return dataclasses.replace(origin, watched=None), made_of.watched is None
    name = origin.watched.told.begun.name if origin.watched and origin.watched.told.begun else ""
    then = watched.read(origin.home, name, made_of.watched[0])
    is_known = then is not None and (then.size, then.sha256) == made_of.watched
    return dataclasses.replace(origin, watched=then), is_known


def _same_but_for(page: bytes, anew: bytes, made_of: Stamp, unknown: tuple[str, ...]) -> bool:
    """Whether two pages are the same outside of some parts, and of what the stamp says of these."""
    ours = stamp.found_in(anew)
    if ours is None:
        return False
    pages: list[bytes | None] = [page, anew.replace(stamp.as_written(ours), stamp.as_written(made_of))]
    for part in unknown:
        pages = [None if one is None else stamp.without(one, part) for one in pages]
    return pages[0] is not None and pages[0] == pages[1]
