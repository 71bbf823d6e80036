"""
Runs in a row: each evidence names the one before by its digest, so that none can be left out.

A run that was killed, one whose evidence is gone and one that was not clean end the row. Where the
folders lie, what they are called and how old they claim to be decides nothing.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path

from ddbverify.config import Config
from ddbverify.evidence import evidence, folders
from ddbverify.evidence.envelope import NotTrusted, PublicKey
from ddbverify.evidence.evidence import NO_EVIDENCE, Evidence

MOST_BYTES = 64 * 2**20
"""Larger than any evidence: 1,000 checks of 20 pairs make 5 MB."""


def content(folder: Path) -> bytes:
    """
    The evidence file of a run, as it stands.

    Raises:
        NotTrusted: There is none, or it is no file that could be one.
    """
    try:
        # Without O_NONBLOCK a pipe of that name would be waited for.
        descriptor = os.open(folder / folders.EVIDENCE, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError as error:
        if folder.is_dir():
            raise NotTrusted("the run there has not come to its end, or was killed") from error
        raise NotTrusted("there is none; run `ddbverify run` first") from error
    except OSError as error:
        raise NotTrusted(f"it cannot be read ({error.strerror})") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_BYTES:
        os.close(descriptor)
        raise NotTrusted("it is no file, or too large for one")
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def previous(config: Config, trusted: tuple[PublicKey, ...]) -> str | None:
    """
    What a run that starts now says of the one before: `Evidence.previous`.

    That is the newest by its name. So it cannot be left out by pointing ``latest`` at another one, or by
    putting other evidence into its folder. Of runs of one second ``latest`` tells which was the last.

    Args:
        config: It says where runs are kept.
        trusted: Keys that are believed.
    """
    runs, latest = folders.runs(config), folders.latest(config)
    named = {
        path.name: path for path in (runs.iterdir() if runs.is_dir() else ()) if folders.moment(path.name)
    }
    last = ""
    if latest.is_symlink() or latest.exists():
        last = _name_of_latest(latest, named, trusted)
        if not last:
            return NO_EVIDENCE
        named.setdefault(last, latest)
    if not named:
        return None
    newest = max(named, key=lambda name: (folders.moment(name), name == last, name))
    try:
        document = content(named[newest])
    except NotTrusted:
        return NO_EVIDENCE
    is_of_another = _run_of(document, trusted) not in (newest, "")
    return NO_EVIDENCE if is_of_another else hashlib.sha256(document).hexdigest()


def _name_of_latest(latest: Path, named: Mapping[str, Path], trusted: tuple[PublicKey, ...]) -> str:
    """Which run lies there: as its folder, a link to that, or its evidence says; empty if nothing does."""
    place = os.path.realpath(latest)
    names = [name for name, path in named.items() if os.path.realpath(path) == place]
    if folders.moment(Path(place).name):
        names.append(Path(place).name)
    if not names:
        try:
            names = [_run_of(content(latest), trusted)]
        except NotTrusted:
            return ""
    return max(name if folders.moment(name) else "" for name in names)


def _run_of(document: bytes, trusted: tuple[PublicKey, ...]) -> str:
    """The run that an evidence file says it is of; empty if it cannot be believed."""
    try:
        return evidence.decode(document, trusted).run_id
    except NotTrusted:
        return ""


def count(
    config: Config,
    folder: Path,
    judged: Evidence,
    trusted: tuple[PublicKey, ...],
    *,
    is_clean: Callable[[Evidence], bool],
    wanted: int,
) -> tuple[int, str]:
    """
    Count clean runs of the same thing in a row, going back from the judged one.

    Args:
        config: It says where runs are kept.
        folder: The judged run's; runs beside it are found, too.
        judged: Its evidence.
        trusted: Keys that are believed.
        is_clean: Whether a run would open the gate, its age apart.
        wanted: Where to stop.

    Returns:
        How many (the judged one included), and why there are no more, in words.
    """
    if not is_clean(judged):
        return 0, "the judged run itself is not clean"
    clean, run = 1, judged
    beside = Beside(config, folder)
    while clean < wanted:
        if run.previous is None:
            return clean, f"{run.run_id} was the first run"
        if run.previous == NO_EVIDENCE:
            return clean, f"the run before {run.run_id} has left no evidence"
        before = beside.get(run.previous)
        if before is None:
            return clean, f"the evidence of the run before {run.run_id} is not here"
        try:
            earlier = evidence.decode(before, trusted)
        except NotTrusted as error:
            return clean, f"the evidence of the run before {run.run_id} cannot be used: {error}"
        if subject(earlier) != subject(judged):
            return clean, f"{earlier.run_id} was about other tables, settings, checks or programs"
        if not is_clean(earlier):
            return clean, f"{earlier.run_id} was not clean"
        clean, run = clean + 1, earlier
    return clean, ""


class Beside:
    """Evidence files beside a folder and among the runs, by SHA-256: read newest first, as far as asked."""

    def __init__(self, config: Config, folder: Path) -> None:
        self._known: dict[str, bytes] = {}
        places = {folder.resolve().parent, folders.runs(config).resolve()}
        self._unread = iter(newest_first(path for runs in places if runs.is_dir() for path in runs.iterdir()))

    def get(self, sha256: str) -> bytes | None:
        """The file of that digest; ``None`` where there is none."""
        while sha256 not in self._known:
            one = next(self._unread, None)
            if one is None:
                return None
            try:
                document = content(one[1])
            except NotTrusted:
                continue  # what is missed in the row is reported there
            self._known[hashlib.sha256(document).hexdigest()] = document
        return self._known[sha256]


def newest_first(paths: Iterable[Path]) -> list[tuple[datetime | None, Path]]:
    """
    Folders of runs, each once, and when they claim by their names to have been started; others come last.

    Names decide about what is looked at first, and nothing else.
    """
    each: dict[str, tuple[str, Path]] = {}
    for path in paths:
        place = os.path.realpath(path)
        name = path.name if folders.moment(path.name) else Path(place).name
        if place not in each or not folders.moment(each[place][0]):
            each[place] = (name, path)
    claimed = [(folders.moment(name), name, path) for name, path in each.values()]
    in_order = sorted(claimed, key=lambda one: (one[0] is not None, one[1]), reverse=True)
    return [(moment, path) for moment, _, path in in_order]


def subject(run: Evidence) -> object:
    """What a run is about: equal, and two runs are about the same tables, settings, checks and programs."""
    return (
        run.digests,
        run.plugins,
        run.extensions,
        [(pair.id, pair.source, pair.target) for pair in run.pairs],
    )
