"""What a page says it was made of, so that it can be made anew; and which part is of what. Pure."""

from __future__ import annotations

import hashlib
import html
import re
from pathlib import Path
from typing import Final, Literal

import msgspec

from ddbverify.page.origin import DiffSummary, Origin

FORM: Final = 1

PARTS: Final = ("findings", "row", "cutover", "course", "migration", "repair")
"""Parts of a page that are made of files beside the evidence, each between two marks of its own."""

_FOUND: Final = re.compile(rb'<meta name="ddbverify-report" content="([^"]*)">')


class Stamp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What decides about every byte of a page, beside the files that it names by their digests."""

    form: Literal[1]
    maker: str  # digest of what makes pages: another version makes others
    kind: Literal["run", "diff"]
    of: str  # SHA-256 of evidence.json, or of summary.json
    findings: str | None  # SHA-256 of findings.jsonl; None where it was not there
    row: tuple[str, ...]  # SHA-256 of the evidence of each run before
    row_ends: str
    clean_runs: int
    events: str | None  # SHA-256 of events.jsonl; None where it was not there
    cutover: str | None  # SHA-256 of cutover.json; None where it was not there
    fence_limit: float
    watched: (
        tuple[int, str] | None
    )  # bytes of the migration's log, and SHA-256 of these; None: none was there
    repair: str | None  # digest of repair.json, as it has it itself; None where it was not there
    keys: bool  # whether raw keys were asked for


def stamp_of(origin: Origin, findings: str | None, *, keys: bool) -> Stamp:
    """The stamp of a page that is made of this."""
    return Stamp(
        form=FORM,
        maker=maker(),
        kind="diff" if isinstance(origin.about, DiffSummary) else "run",
        of=origin.sha256,
        findings=findings,
        row=tuple(one.sha256 for one in origin.earlier),
        row_ends=origin.row_ends,
        clean_runs=origin.clean_runs,
        events=origin.events.sha256 if origin.events else None,
        cutover=origin.cutover_sha256 or None,
        fence_limit=origin.fence_limit,
        watched=(origin.watched.size, origin.watched.sha256) if origin.watched else None,
        repair=origin.repair.digest if origin.repair else None,
        keys=keys,
    )


def encoded(stamp: Stamp) -> str:
    """As a page holds it."""
    return msgspec.json.encode(stamp).decode()


def as_written(stamp: Stamp) -> bytes:
    """The whole element that holds it."""
    return f'<meta name="ddbverify-report" content="{html.escape(encoded(stamp))}">'.encode()


def found_in(page: bytes) -> Stamp | None:
    """The stamp of a page; ``None`` if it has not exactly one, or one that is not understood."""
    stamps = _FOUND.findall(page)
    if len(stamps) != 1:
        return None
    try:
        return msgspec.json.decode(html.unescape(stamps[0].decode()), type=Stamp)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def is_report(head: bytes) -> bool:
    """Whether a file that begins so is a page of ours."""
    return _FOUND.search(head) is not None


def without(page: bytes, part: str) -> bytes | None:
    """A page with one part cut out; ``None`` if its marks are not there once each."""
    before, opening, rest = page.partition(f"<!--{part}-->".encode())
    inside, closing, after = rest.partition(f"<!--/{part}-->".encode())
    marks = (f"<!--{part}-->".encode(), f"<!--/{part}-->".encode())
    if (
        not opening
        or not closing
        or any(mark in piece for mark in marks for piece in (before, inside, after))
    ):
        return None
    return before + opening + closing + after


def maker() -> str:
    """SHA-256 over all files of this room."""
    digest = hashlib.sha256()
    folder = Path(__file__).parent
    for file in sorted(one for one in folder.rglob("*") if one.suffix in (".py", ".html", ".css", ".js")):
        digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
