"""
Which key a hash in a message stands for, on the machine that made it.

Messages show keyed hashes; the key and the attribute paths stand in ``findings.jsonl`` of the run
(mode 0600), or of the ``pytest`` session that did not leave evidence. Elsewhere, ``findings.sealed`` of the
run says the same to whoever has its private key.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ddbverify.errors import ConfigurationError
from ddbverify.evidence import folders, sealing
from ddbverify.words import as_json, plain

FEWEST_DIGITS: Final = 6


@dataclass(frozen=True, slots=True)
class Found:
    """One line of a findings file. It holds a raw key."""

    file: Path
    line: dict[str, Any]

    def text(self) -> str:
        """For the eyes of whoever asked."""
        line = self.line
        rows = [
            ("key", as_json(line["key"])),
            *(("path", path) for path in line.get("paths", ())),
            *([("check", line["check"])] if line.get("check") else []),
            *([("reason", line["reason"])] if line.get("reason") else []),
            ("from", str(self.file)),
        ]
        lines = [f"{line['finding']}: {line['pair']}"]
        lines += [f"  {name:7} {plain(value)}" for name, value in rows]
        return "\n".join(lines)


def explain(
    key_hash: str, home: Path, place: Path | None = None, private_key: Path | None = None
) -> list[Found]:
    """
    Everything that was found about the key that *key_hash* stands for.

    Args:
        key_hash: As a message shows it, or its first six digits or more.
        home: The tool's own folder, ``.ddbverify``; all runs and sessions in it are looked through.
        place: Look in this run's folder only, or in this file of sealed findings.
        private_key: File of the key that opens sealed findings; those in KMS need none.

    Raises:
        ConfigurationError: It is no hash, stands for two keys, or nothing was found; or sealed findings
            cannot be opened.
        EngineError: KMS refused to open them.
    """
    asked = key_hash.strip().lower()
    if len(asked) < FEWEST_DIGITS or not set(asked) <= set("0123456789abcdef"):
        raise ConfigurationError(
            f"{key_hash[:40]!r} is no hash of a key.",
            f"copy at least {FEWEST_DIGITS} of its 16 digits from a message.",
        )
    files = [_findings_at(place)] if place is not None else _files(home)
    found = [Found(file, line) for file in files for line in _lines(file, asked, private_key)]
    where = place or home
    if not found:
        raise ConfigurationError(
            f"Nothing in {where} has a key with the hash {asked}.",
            "name the run's folder, on the machine that made the run, or its findings.sealed: hashes change "
            "with every run. "
            "Those of the quarantine are others: see `replicator quarantine --keys`.",
        )
    if len({one.line["key_hash"] for one in found}) > 1:
        raise ConfigurationError(f"Several keys have hashes that begin with {asked}.", "give more digits.")
    return found


def _files(home: Path) -> Iterator[Path]:
    """Findings of all runs and sessions, those first that were changed last."""
    found = [
        path for kind in ("runs", folders.SESSIONS) for path in home.glob(f"{kind}/*/{folders.FINDINGS}")
    ]
    latest = home / "latest" / folders.FINDINGS  # a run with --out lies elsewhere
    if latest.is_file() and latest.resolve() not in {path.resolve() for path in found}:
        found.append(latest)
    yield from sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def _findings_at(place: Path) -> Path:
    """In a folder that a pipeline kept, the findings are there in sealed form only."""
    if not place.is_dir():
        return place
    plain = place / folders.FINDINGS
    return place / folders.SEALED if not plain.exists() and (place / folders.SEALED).exists() else plain


@contextmanager
def _opened(file: Path, private_key: Path | None) -> Iterator[Iterable[str]]:
    if file.suffix == Path(folders.SEALED).suffix:
        yield sealing.lines(file, private_key)
    else:
        with file.open(encoding="ascii", errors="replace") as lines:
            yield lines


def _lines(file: Path, asked: str, private_key: Path | None) -> Iterator[dict[str, Any]]:
    try:
        with _opened(file, private_key) as lines:
            for text in lines:
                if asked not in text:  # most lines need no decoding
                    continue
                try:
                    line = json.loads(text)
                except ValueError:
                    continue  # the last line of a run that was killed while it wrote
                if str(line.get("key_hash", "")).startswith(asked):
                    yield line
    except OSError as error:
        raise ConfigurationError(
            f"{file} cannot be read: {error.strerror}.", "name the folder of a run of yours."
        ) from error
