"""Where an export lies: its address, and the files below it, in a bucket or in a folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, Final, Protocol
from urllib.parse import unquote, urlsplit

from ddbverify.config import Side
from ddbverify.errors import ConfigurationError, EngineError, NotFoundError
from ddbverify.tables import aws

_FORM: Final = '"s3://BUCKET/PREFIX/AWSDynamoDB/ID" or "file:///FOLDER/AWSDynamoDB/ID"'

_ID: Final = re.compile(r"[A-Za-z0-9-]+")

MANIFEST_BYTES: Final = 100_000_000
"""More than the manifest of a million data files; whatever is larger is no manifest."""


@dataclass(frozen=True, slots=True)
class Address:
    """``s3://bucket/prefix/AWSDynamoDB/id`` or ``file:///folder/AWSDynamoDB/id``."""

    text: str
    bucket: str | None  # None: a folder
    root: str  # of the folder AWSDynamoDB, with it: a key's prefix or a path, without the last slash
    export_id: str

    def __str__(self) -> str:
        return self.text


def is_address(text: str) -> bool:
    """Whether a side is named as an export, well or badly, and not as a table."""
    return "://" in text


def address_of(text: str, *, place: str) -> Address:
    """
    Take an address apart.

    Args:
        text: As the user wrote it.
        place: What he wrote it as, for the message.

    Raises:
        ConfigurationError: It is none.
    """
    parts = urlsplit(text.rstrip("/"))
    root, _, export_id = parts.path.rpartition("/")
    named = root.endswith("/AWSDynamoDB") and _ID.fullmatch(export_id)
    if named and not parts.query and not parts.fragment:
        if parts.scheme == "s3" and parts.netloc:
            return Address(text, parts.netloc, root.lstrip("/"), export_id)
        if parts.scheme == "file" and parts.netloc in ("", "localhost"):
            return Address(text, None, unquote(root), export_id)
    raise ConfigurationError(f"{place}: {text!r} names no export of a table.", f"write {_FORM}.")


class Store(Protocol):
    """The files of an export, by their names below the folder AWSDynamoDB."""

    def small(self, name: str) -> bytes | None:
        """A manifest or checksum; ``None`` where there is none. NotFoundError: no bucket."""

    def opened(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A data file at its beginning, to be read more than once. Raises EngineError."""


class FolderStore:
    """A copy of an export in a folder."""

    def __init__(self, root: Path) -> None:
        """Read below *root*."""
        self._root = root

    def small(self, name: str) -> bytes | None:
        """As `Store` has it."""
        try:
            with (self._root / name).open("rb") as file:
                return _bounded(file.read(MANIFEST_BYTES + 1), name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _unreadable(name, error) from error

    @contextmanager
    def opened(self, name: str) -> Iterator[BinaryIO]:
        """As `Store` has it."""
        try:
            with (self._root / name).open("rb") as file:
                yield file
        except OSError as error:
            raise _unreadable(name, error) from error


class BucketStore:
    """An export where AWS has put it. A data file is fetched whole before any of it is believed."""

    def __init__(self, side: Side, bucket: str, root: str) -> None:
        """Read below *root* in *bucket*, with the credentials of *side*."""
        self._s3 = aws.client(side, "s3")
        self._bucket, self._root = bucket, root

    def small(self, name: str) -> bytes | None:
        """As `Store` has it."""
        try:
            with aws.translated(f"read {name} of an export in the bucket {self._bucket}"):
                answer = self._s3.get_object(Bucket=self._bucket, Key=f"{self._root}/{name}")
                return _bounded(answer["Body"].read(MANIFEST_BYTES + 1), name)
        except NotFoundError as error:
            if aws.code_of(error) == "NoSuchBucket":
                raise NotFoundError(
                    f"there is no bucket {self._bucket}.", "look at the bucket's name in the address."
                ) from error
            return None

    @contextmanager
    def opened(self, name: str) -> Iterator[BinaryIO]:
        """As `Store` has it."""
        with TemporaryFile() as file:
            with aws.translated(f"read {name} of an export in the bucket {self._bucket}"):
                self._s3.download_fileobj(self._bucket, f"{self._root}/{name}", file)
            file.seek(0)
            yield file


def store_of(address: Address, side: Side) -> Store:
    """Where an export lies, reached as *side* says."""
    if address.bucket is None:
        return FolderStore(Path(address.root))
    return BucketStore(side, address.bucket, address.root)


def _bounded(content: bytes, name: str) -> bytes:
    if len(content) > MANIFEST_BYTES:
        raise EngineError(f"{name} is no manifest: it is too large.", "look at the export's address.")
    return content


def _unreadable(name: str, error: OSError) -> EngineError:
    return EngineError(
        f"The file {name} of an export cannot be read: {error.strerror}.",
        "copy the whole export anew, and run the command again.",
    )
