"""
``repair.json``: what a run or a diff found that could be repaired, for whoever does that.

Beside each raw key stand digests of what both tables held, keyed by a secret in the same folder
(``repair.key``), so that a repair can tell what has moved since; there are no values. One line for
each finding, so that a million of them take no memory, and a digest of all of it at the end.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Annotated, BinaryIO, Final, Self

import msgspec
from msgspec import Meta

from ddbverify.code.digest import transform_digest
from ddbverify.compare import causes
from ddbverify.compare.causes import MOST_CAUSES, Causes
from ddbverify.config import Config, Pair
from ddbverify.errors import ConfigurationError
from ddbverify.evidence import folders
from ddbverify.evidence.record import TableRecord
from ddbverify.evidence.strict import Strict
from ddbverify.items.states import Difference, State
from ddbverify.names import KeySchema, TypedItem
from ddbverify.tables.table import Table

VERSION: Final = 1

REPAIRABLE: Final = (State.MISSING, State.EXTRANEOUS, State.DIFFERENT)
"""Of the others nobody knows what the target should hold, or somebody has said that they may stay."""

_HEAD: Final = f'{{"version":{VERSION},"findings":[\n'.encode()
_BUFFER: Final = 2**18
_MOST_CHARACTERS: Final = 300  # of one cause: names of attributes have up to 64 KB
_MOST_OF_THE_TAIL: Final = 2**26

Hex = Annotated[str, Meta(pattern="^([0-9a-f]{2})*$")]


class Entry(Strict, frozen=True, gc=False):
    """One key that is not as it should be."""

    pair: str
    finding: State
    key: TypedItem  # of the target
    causes: tuple[str, ...]  # in words, without values; places end at the attribute at the top
    expected: Hex  # digest of what the source's item makes the target hold; empty: nothing
    target: Hex  # of what the target held


class CauseOf(Strict, frozen=True):
    """One way in which keys of a pair differ, and how many do."""

    pair: str
    finding: State
    cause: str
    findings: int


class PairOf(Strict, frozen=True):
    """The tables that the digests are of, and by which rules they were made."""

    id: str
    source: TableRecord
    target: TableRecord
    source_keys: KeySchema
    target_keys: KeySchema
    transform: str | None
    transform_digest: str
    rekeys: bool
    ignore: tuple[str, ...]

    @classmethod
    def of(cls, config: Config, pair: Pair, source: Table, target: Table) -> PairOf:
        """A pair of *config*, as its tables were described. Raises as `transform_digest`."""
        return cls(
            id=pair.id,
            source=TableRecord.of(source),
            target=TableRecord.of(target),
            source_keys=dict(source.key_schema),
            target_keys=dict(target.key_schema),
            transform=pair.transform,
            transform_digest=transform_digest(config, pair),
            rekeys=pair.rekeys,
            ignore=tuple(pair.ignore),
        )


class Tail(Strict, frozen=True):
    """What stands behind the findings: all of them added up."""

    listed: int
    left_out: dict[str, int]  # by their states: what cannot be repaired
    causes: tuple[CauseOf, ...]  # the commonest first; at most `MOST_CAUSES` of a pair
    uncertain: int  # so many findings may be missing in their counts
    pairs: tuple[PairOf, ...]
    digest: Hex  # of all that stands before it, keyed like the others


class RepairFile:
    """
    Writes ``repair.json``. Nothing has that name before `finish`, and then it is whole.

    Args:
        folder: Of the run or the diff; a secret that is in it already is used again.

    Raises:
        OSError: The disk takes no more; of every method, too.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / folders.REPAIR
        self._beside = _unfinished(folder)
        key = folder / folders.REPAIR_KEY
        if not key.exists():
            folders.write_atomically(key, secrets.token_hex(32).encode() + b"\n")
        self.secret = secret_of(folder)
        self._descriptor = os.open(self._beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._hash = hashlib.blake2b(key=self.secret, digest_size=32)
        self._buffer = bytearray()
        self._listed = 0
        self._left_out: Counter[str] = Counter()
        self._causes: defaultdict[str, Causes] = defaultdict(Causes)
        self._add(_HEAD)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    @property
    def finished_with_any(self) -> bool:
        """Whether it is there, and names any key."""
        return self._listed > 0 and self._descriptor < 0 and self.path.exists()

    def add(self, pair_id: str, difference: Difference) -> None:
        """Take one finding."""
        seen = difference.seen
        if difference.state not in REPAIRABLE or seen is None:
            self._left_out[difference.state] += 1
            return
        told, ways = _told(difference.state, difference.paths, difference.reason)
        self._causes[pair_id].add(difference.state, told, difference.reason)
        entry = Entry(
            pair=pair_id,
            finding=difference.state,
            key=difference.key,
            causes=ways,
            expected=seen.expected.hex(),
            target=seen.target.hex(),
        )
        self._add((b",\n" if self._listed else b"") + msgspec.json.encode(entry))
        self._listed += 1

    def finish(self, pairs: Sequence[PairOf]) -> None:
        """Write what all come to, and let the file have its name."""
        if self._descriptor < 0:
            return
        tail = Tail(
            listed=self._listed,
            left_out=dict(sorted(self._left_out.items())),
            causes=tuple(
                CauseOf(pair=pair, finding=one.state, cause=cut(one.text), findings=one.findings)
                for pair, of_pair in sorted(self._causes.items())
                for one in of_pair.most_common(MOST_CAUSES)
            ),
            uncertain=sum(one.uncertain for one in self._causes.values()),
            pairs=tuple(pairs),
            digest="",
        )
        written = msgspec.json.encode(tail)
        self._add(b"\n],\n" + written[1:].removesuffix(b'"}'))
        digest = self._flush()
        os.write(self._descriptor, digest.encode() + b'"}\n')
        os.fsync(self._descriptor)
        self._beside.replace(self.path)
        self.discard()

    def discard(self) -> None:
        """Leave nothing of what is not finished; the secret stays."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            with suppress(OSError):
                self._beside.unlink(missing_ok=True)

    def _add(self, content: bytes) -> None:
        if self._descriptor < 0:
            return
        self._buffer += content
        if len(self._buffer) >= _BUFFER:
            self._flush()

    def _flush(self) -> str:
        content = bytes(self._buffer)
        self._hash.update(content)
        self._buffer.clear()
        while content:
            content = content[os.write(self._descriptor, content) :]
        return self._hash.hexdigest()


class Repairs:
    """
    A whole ``repair.json``, held against its own digest. Use it in a ``with`` statement.

    Args:
        path: The file; ``repair.key`` lies beside it.

    Raises:
        ConfigurationError: It is not there, of another version, cut, or was changed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            raise ConfigurationError(
                f"There is no {path}.",
                "name the folder of a run that has come to its end: one that was cut short leaves no "
                f"{folders.REPAIR}, nor does one of an earlier version.",
            )
        self.secret = _secret_for(path)
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise ConfigurationError(
                f"{path} cannot be read: {error.strerror}.",
                "name the repair.json of a run that has come to its end, or its folder.",
            ) from error
        try:
            self.tail = self._held_against_its_digest()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def pairs(self) -> Mapping[str, PairOf]:
        """The tables, by the ids of their pairs."""
        return {pair.id: pair for pair in self.tail.pairs}

    def entries(self) -> Iterator[Entry]:
        """Every finding, as they were written."""
        decode = msgspec.json.Decoder(Entry).decode
        self._file.seek(len(_HEAD))
        for line in self._file:
            if line == b"],\n":
                return
            if line != b"\n":  # there is none at all
                yield decode(line.removesuffix(b"\n").removesuffix(b","))

    def _held_against_its_digest(self) -> Tail:
        if self._file.read(len(_HEAD)) != _HEAD:
            self._file.seek(0)
            raise _of_another_version(self.path, self._file.read(200))
        found = hashlib.blake2b(_HEAD, key=self.secret, digest_size=32)
        before = b""
        for line in self._file:
            found.update(before)
            before = line
        said = before.rfind(b'"digest":"') + len(b'"digest":"')
        found.update(before[:said])
        try:
            tail = msgspec.json.decode(b"{" + before, type=Tail)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise _changed(self.path) from error
        if before[said:] != found.hexdigest().encode() + b'"}\n' or tail.digest != found.hexdigest():
            raise _changed(self.path)
        return tail


def drop_unfinished(folder: Path) -> None:
    """Take away what a process has left that was killed while it wrote. Raises OSError."""
    _unfinished(folder).unlink(missing_ok=True)


def _unfinished(folder: Path) -> Path:
    return folder / f".{folders.REPAIR}"


def tail_of(path: Path) -> Tail | None:
    """
    What a file says that all its findings come to; nothing is held against its digest.

    Returns:
        ``None`` where there is no file, or none that is understood.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(_HEAD)) != _HEAD:
                return None
            size, last = file.seek(0, os.SEEK_END), b""
            while b"\n" not in last[:-1]:
                if len(last) >= min(size, _MOST_OF_THE_TAIL):
                    return None
                file.seek(-min(size, 4 * len(last) + 2**16), os.SEEK_END)
                last = file.read()
        return msgspec.json.decode(b"{" + last.removesuffix(b"\n").rpartition(b"\n")[2], type=Tail)
    except (OSError, msgspec.MsgspecError, RecursionError):
        return None


@lru_cache(maxsize=4_096)
def _told(state: State, paths: tuple[str, ...], reason: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Where a finding differs as it may be told, and in which ways; a million findings have few of these."""
    told = tuple(map(causes.without_depth, paths))
    return told, tuple(dict.fromkeys(map(cut, causes.ways(state, told, reason))))


def cut(text: str) -> str:
    """A cause, as the file has it."""
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"


def secret_of(folder: Path) -> bytes:
    """The secret in a folder. Raises OSError where there is none, ValueError where it is damaged."""
    secret = bytes.fromhex((folder / folders.REPAIR_KEY).read_text(encoding="ascii"))
    if len(secret) != 32:
        raise ValueError("not 32 bytes")
    return secret


def _secret_for(path: Path) -> bytes:
    try:
        return secret_of(path.parent)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{path.with_name(folders.REPAIR_KEY)} cannot be read: without it nobody can tell what has moved "
            "since.",
            "use the run's folder as it was left, on the machine that made it, or make another run.",
        ) from error


def _of_another_version(path: Path, head: bytes) -> ConfigurationError:
    try:
        version = msgspec.json.decode(head.partition(b",")[0] + b"}").get("version")
    except (msgspec.MsgspecError, AttributeError):
        version = None
    said = f"is of version {version}, and this one is {VERSION}" if version is not None else "is no such file"
    return ConfigurationError(f"{path} {said}.", "make another run or diff with this version.")


def _changed(path: Path) -> ConfigurationError:
    return ConfigurationError(
        f"{path} is cut, or was changed since it was written.",
        "make another run or diff; what is to be repaired is chosen by its causes, not by editing the file.",
    )
