"""
Where items wait that have met no partner in their segment: a folder of the user's, or a place in a bucket.

They are written once, by the task that has read them, and joined from there. A plan that read them from the
table again would find another table.
"""

from __future__ import annotations

import shutil
import struct
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final
from urllib.parse import unquote, urlsplit

from ddbverify.config import Side
from ddbverify.errors import ConfigurationError, EngineError
from ddbverify.tables import aws

_FORM: Final = "s3://BUCKET/PREFIX or file:///FOLDER"

_FRAME: Final = struct.Struct(">II")


@dataclass(frozen=True, slots=True)
class Staging:
    """The place of one comparison. It is pickled, and holds no client."""

    bucket: str | None  # None: a folder
    root: str  # a key's prefix or a path, of this comparison alone
    side: Side

    @classmethod
    def of(cls, text: str, side: Side) -> Staging:
        """
        A place below what a user has named.

        Raises:
            ConfigurationError: It is no such place.
        """
        parts = urlsplit(text.rstrip("/"))
        own = f"ddbverify-{uuid.uuid4().hex}"
        if not parts.query and not parts.fragment:
            if parts.scheme == "s3" and parts.netloc:
                return cls(parts.netloc, f"{parts.path}/{own}".lstrip("/"), side)
            if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path:
                return cls(None, f"{unquote(parts.path)}/{own}", side)
        raise ConfigurationError(f"{text!r} is no place that items on Spark can wait in.", f"write {_FORM}.")

    def put(self, name: str, file: IO[bytes]) -> None:
        """Write a file, whole or not at all. Raises EngineError."""
        if self.bucket is not None:
            with aws.translated(f"write to the bucket {self.bucket}"):
                aws.client(self.side, "s3").upload_fileobj(file, self.bucket, f"{self.root}/{name}")
            return
        place = Path(self.root)
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=place, delete=False) as new:
                shutil.copyfileobj(file, new)
            Path(new.name).replace(place / name)
        except OSError as error:
            raise _failed("written", error) from error

    @contextmanager
    def opened(self, name: str) -> Iterator[IO[bytes]]:
        """A file at its beginning. Raises EngineError."""
        if self.bucket is not None:
            with tempfile.TemporaryFile() as file:
                with aws.translated(f"read from the bucket {self.bucket}"):
                    aws.client(self.side, "s3").download_fileobj(self.bucket, f"{self.root}/{name}", file)
                file.seek(0)
                yield file
            return
        try:
            with (Path(self.root) / name).open("rb") as file:
                yield file
        except OSError as error:
            raise _failed("read", error) from error

    def remove(self) -> None:
        """Remove all of it. Raises EngineError."""
        if self.bucket is None:
            shutil.rmtree(self.root, ignore_errors=True)
            if Path(self.root).exists():
                raise EngineError(f"{self.root} could not be removed.", "remove it by hand: it holds items.")
            return
        s3 = aws.client(self.side, "s3")
        with aws.translated(f"remove what was staged in the bucket {self.bucket}"):
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=f"{self.root}/")
            for page in pages:
                for one in page.get("Contents", ()):
                    s3.delete_object(Bucket=self.bucket, Key=one["Key"])

    def try_out(self) -> None:
        """Write a file, and read it again. Raises EngineError."""
        name = f"try-{uuid.uuid4().hex}"
        with tempfile.TemporaryFile() as file:
            file.write(b"ddbverify")
            file.seek(0)
            self.put(name, file)
        with self.opened(name) as file:
            file.read()


def framed(bucket: int, content: bytes) -> bytes:
    """A row, as it stands in a file."""
    return _FRAME.pack(bucket, len(content)) + content


def frames_in(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """The rows of a file, with their buckets. Whether they are all, the receipts say."""
    while head := file.read(_FRAME.size):
        if len(head) < _FRAME.size:
            return
        bucket, size = _FRAME.unpack(head)
        yield bucket, file.read(size)


def _failed(what: str, error: OSError) -> EngineError:
    return EngineError(
        f"What a task has to stage could not be {what}: {error.strerror}.",
        "name a folder that all machines of the cluster reach and may write to, or a bucket.",
    )
