"""
Any number of findings -> counts, causes, slices and some hundred of them, in one pass and bounded memory.

The line of a finding is `ddbverify.evidence.findings`' or a diff's; raw keys are kept only where asked for.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from ddbverify.compare.causes import Causes, without_depth
from ddbverify.errors import ConfigurationError
from ddbverify.items.paths import parse_path, show_path
from ddbverify.items.states import State
from ddbverify.words import as_json

MOST_SHOWN: Final = 500
"""Findings in a page, drawn over the ways in which they differ."""

MOST_TEXT: Final = 300_000
"""Characters of all of these together, so that no name or key however long makes a large page."""

SLICES: Final = 64

NOTHING: Final = hashlib.sha256(b"").hexdigest()
"""SHA-256 of a file without findings."""

_MOST_WAYS: Final = 4_000  # that are told apart
_MOST_KEPT: Final = 2_000
_MOST_CHARACTERS: Final = 160  # of one way, or of one attribute
_MOST_OF_A_KEY: Final = 400
_MOST_OF_AN_ITEM: Final = 1_000
_CHUNK: Final = 2**18
_MOST_BYTES_OF_A_LINE: Final = 8 * 2**20  # two items of 400 KB, each byte escaped
_GOLDEN: Final = 0x9E3779B1  # 2^32 over the golden ratio: spreads what CRC leaves alike (Knuth 6.4)

REFUTED: Final = "refuted"
"""What stands in place of a state where a check on items failed."""


class _Line(msgspec.Struct, gc=False):
    finding: str
    pair: str = ""
    key_hash: str = ""
    key: msgspec.Raw = msgspec.Raw(b"{}")
    paths: msgspec.Raw = msgspec.Raw(b"[]")
    reason: str = ""
    check: str = ""
    established: str = ""
    items: msgspec.Raw = msgspec.Raw(b"{}")


@dataclass(frozen=True, slots=True)
class Shown:
    """One finding, as the page shows it."""

    line: int  # in the file, from 1
    pair: str  # empty in a diff
    state: str
    ways: tuple[str, ...]  # in words
    attributes: tuple[str, ...]  # at the top of the item
    key_hash: str  # empty in a diff
    by_cause: bool
    key: str  # empty unless asked for
    items: tuple[tuple[str, str], ...]  # side and JSON; likewise, and only where the file has them


@dataclass(slots=True)
class Tally:
    """What a file of findings comes to."""

    sha256: str = NOTHING
    findings: int = 0
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)  # pair and state -> findings
    causes: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # pair, state, way -> findings
    slices: dict[str, list[int]] = field(default_factory=dict)  # pair -> findings of each slice of its keys
    shown: tuple[Shown, ...] = ()
    damage: str = ""  # why the file was not read to its end, in words

    def of(self, pair: str, state: str) -> int:
        """How many findings of a pair are in a state."""
        return self.counts[(pair, state)]


@dataclass(slots=True)
class _Way:
    """Findings that differ alike."""

    pair: str
    state: str
    texts: tuple[str, ...]
    attributes: tuple[str, ...]
    by_cause: bool
    findings: int = 0
    kept: list[tuple[int, _Line]] = field(default_factory=list)


def read(path: Path, *, keys: bool = False) -> Tally | None:
    """
    Read a file of findings.

    Args:
        path: The file.
        keys: Keep raw keys of the findings that are shown, paths below attributes, and items where the
            file has them.

    Returns:
        What it comes to; ``None`` where there is no file.

    Raises:
        ConfigurationError: It cannot be read.
    """
    try:
        # Without O_NONBLOCK a pipe of that name would be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error.strerror) from error
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _unreadable(path, "it is no file")
        try:
            return _Reading(keys=keys).of(file)
        except OSError as error:
            raise _unreadable(path, error.strerror) from error


def _unreadable(path: Path, why: str | None) -> ConfigurationError:
    return ConfigurationError(
        f"The findings {path} cannot be read: {why}.", "let yourself read that file, or move it away."
    )


class _Reading:
    """One pass over a file."""

    def __init__(self, *, keys: bool) -> None:
        self._keys = keys
        self._tally = Tally()
        self._ways: dict[object, _Way] = {}

    def of(self, file: BinaryIO) -> Tally:
        tally, ways, number = self._tally, self._ways, 0
        decode = msgspec.json.Decoder(_Line).decode
        digest = hashlib.sha256()
        for lines in _lines(file, digest):
            for text in lines:
                number += 1
                try:
                    line = decode(text)
                    same = (
                        line.finding,
                        bytes(line.paths),
                        line.pair,
                        line.reason,
                        line.check,
                        line.established,
                    )
                    way = ways.get(same)
                    if way is None:
                        way = self._another(same, line)
                except (msgspec.MsgspecError, ValueError, ConfigurationError):
                    tally.damage = tally.damage or f"line {number:,} is cut, or is no finding"
                    break
                way.findings += 1
                if len(way.kept) < _MOST_KEPT // len(ways) and len(way.kept) < MOST_SHOWN:
                    way.kept.append((number, line))
                key = bytes(line.key)
                # Quotation marks in names and values are escaped, so here the second attribute begins.
                first = key.find(b'"}, "')
                slices = tally.slices[line.pair]
                slices[(zlib.crc32(key if first < 0 else key[:first]) * _GOLDEN & 0xFFFFFFFF) >> 26] += 1
            if tally.damage:
                break
        for _ in _lines(file, digest):  # the digest is over all of it, whatever it is
            pass
        tally.sha256 = digest.hexdigest()
        self._add_up()
        return tally

    def _another(self, same: object, line: _Line) -> _Way:
        self._tally.slices.setdefault(line.pair, [0] * SLICES)
        if len(self._ways) < _MOST_WAYS:
            texts, attributes = _in_words(line, keys=self._keys)
            way = _Way(line.pair, line.finding, texts, attributes, line.established != "")
        else:
            # One of each pair and state stands for all that come late: it is not looked into what they are.
            same = (line.finding, line.pair)
            way = _Way(line.pair, line.finding, ("in yet another way",), (), by_cause=False)
        return self._ways.setdefault(same, way)

    def _add_up(self) -> None:
        tally = self._tally
        for way in self._ways.values():
            tally.findings += way.findings
            tally.counts[(way.pair, way.state)] += way.findings
            for text in way.texts:
                tally.causes[(way.pair, way.state, text)] += way.findings
        tally.shown = tuple(self._drawn())

    def _drawn(self) -> Iterator[Shown]:
        """The first of each way, the second of each, and so on: no way crowds out another."""
        ranked = sorted(self._ways.values(), key=lambda way: (-way.findings, way.pair, way.state, way.texts))
        shown = characters = 0
        for turn in range(max((len(way.kept) for way in ranked), default=0)):
            for way in ranked:
                if turn >= len(way.kept):
                    continue
                one = self._shown(way, *way.kept[turn])
                characters += sum(
                    map(len, (*one.ways, *one.attributes, one.key, *(it for _, it in one.items)))
                )
                if shown >= MOST_SHOWN or (shown and characters > MOST_TEXT):
                    return
                shown += 1
                yield one

    def _shown(self, way: _Way, number: int, line: _Line) -> Shown:
        items: tuple[tuple[str, str], ...] = ()
        if self._keys:
            held = json.loads(bytes(line.items))
            items = tuple(
                (side, cut(as_json(held[side]), _MOST_OF_AN_ITEM))
                for side in ("source", "expected", "target")
                if isinstance(held, dict) and side in held
            )
        return Shown(
            line=number,
            pair=way.pair,
            state=way.state,
            ways=tuple(cut(text) for text in way.texts[:10]),
            attributes=tuple(cut(name) for name in way.attributes[:10]),
            key_hash=cut(line.key_hash, 64),
            by_cause=way.by_cause,
            key=cut(as_json(json.loads(bytes(line.key))), _MOST_OF_A_KEY) if self._keys else "",
            items=items,
        )


def _lines(file: BinaryIO, digest: Any) -> Iterator[list[bytes]]:
    """The lines of a file, some thousand at a time; what stands behind the last line end counts as one."""
    rest = b""
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        if len(rest) > _MOST_BYTES_OF_A_LINE:
            lines.append(b"")  # no finding is so long
            rest = b""
        yield lines
    if rest:
        yield [b""]  # cut: a whole one ends with its line end


def _in_words(line: _Line, *, keys: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """How a finding differs, and in which attributes."""
    if line.finding == REFUTED:
        # Without the line of source: a check may compare with a value.
        where = line.reason if keys else line.reason.partition(": ")[0]
        return (f"{line.check}: {where}",), ()
    try:
        state = State(line.finding)
    except ValueError:
        return (line.reason or line.finding,), ()
    paths = msgspec.json.decode(line.paths, type=list[str])
    # Below an attribute stand the keys of maps, which can be data.
    told = paths if keys else [without_depth(path) for path in paths]
    causes = Causes()
    causes.add(state, told, line.reason)
    texts = tuple(cause.text for cause in causes.most_common(len(paths) + 1))
    names = dict.fromkeys(name for path in paths if (name := _attribute(path)))
    return texts, tuple(names)


def _attribute(path: str) -> str:
    name, separator, _ = path.rpartition(": ")
    return show_path(parse_path(name)[:1]) if separator else ""


def cut(text: str, most: int = _MOST_CHARACTERS) -> str:
    """*text*, or its beginning and how long it is."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"
