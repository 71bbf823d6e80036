"""
The files that a target is imported from: one for each data file of the export, DynamoDB JSON, gzipped.

A file is put once it is complete, and its place kept behind that. So a killed attempt leaves whole files that
are known, or one that the next attempt puts again under the same name. Whatever else lies beside them is
found before the import is asked for.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataImport.Format.html
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import msgspec
from boto3.s3.transfer import TransferConfig

from ddbverify.errors import EngineError, Refused
from ddbverify.items.limits import refusals
from ddbverify.names import KeySchema, TypedItem
from ddbverify.tables.aws import translated

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_LEVEL: Final = 3  # of gzip: twice as fast as its default, and a tenth larger
_ONE_BY_ONE: Final = TransferConfig(use_threads=False)  # a load has threads of its own


class Place(msgspec.Struct, frozen=True):
    """
    Where the files of one target lie.

    Args:
        bucket: Its name.
        prefix: What the keys of all files begin with, and of nothing else; ends in a slash.
        owner: The account that has to own the bucket.
        indexes: Key schema of each index of the target.
    """

    bucket: str
    prefix: str
    owner: str
    indexes: tuple[dict[str, str], ...] = ()

    @property
    def address(self) -> str:
        """For people."""
        return f"s3://{self.bucket}/{self.prefix}"

    def key(self, segment: int) -> str:
        """Key of the object that a data file of the export becomes."""
        return f"{self.prefix}{segment:06d}.json.gz"


class Files:
    """Writes such files. Threads may share it, each with files of its own."""

    def __init__(self, client: S3Client, place: Place, keys: KeySchema) -> None:
        """Put files to *place*, of items of a table with these *keys*."""
        self._s3, self._place, self._keys = client, place, keys

    def refusal(self, items: Iterable[TypedItem]) -> str:
        """Why DynamoDB would not take one of the items, in words without values; empty if it would."""
        for item in items:
            for why in refusals(item, self._keys, self._place.indexes):
                return f"refused by DynamoDB: {why}"
        return ""

    @contextmanager
    def file(self, segment: int) -> Iterator[File]:
        """A file that is put once it is complete, and never before."""
        with (
            TemporaryFile() as packed,
            gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=_LEVEL, mtime=0) as raw,
        ):
            yield File(self._s3, self._place, self._place.key(segment), packed, raw)


class File:
    """One of them, as it is being written."""

    def __init__(
        self, client: S3Client, place: Place, key: str, packed: BinaryIO, lines: gzip.GzipFile
    ) -> None:
        """Gather *lines*, which are written to *packed*."""
        self._s3, self._place, self._key = client, place, key
        self._packed, self._lines = packed, lines
        self._is_empty = True

    def write(self, texts: Sequence[bytes]) -> None:
        """Add items, as JSON without a line break."""
        for text in texts:
            self._lines.write(b'{"Item":%b}\n' % text)
            self._is_empty = False

    def put(self) -> dict[str, Any]:
        """
        Put the file to its place; an object of that name is replaced. One without items is not put.

        Returns:
            What is to be kept of it: ``etag`` and ``bytes`` of the object; nothing where there is none.
        """
        self._lines.close()
        if self._is_empty:
            return {}
        size = self._packed.seek(0, 2)
        self._packed.seek(0)
        owner = {"ExpectedBucketOwner": self._place.owner}
        with translated(f"write a file of the import to the bucket {self._place.bucket}"):
            self._s3.upload_fileobj(
                self._packed, self._place.bucket, self._key, ExtraArgs=owner, Config=_ONE_BY_ONE
            )
            there = self._s3.head_object(
                Bucket=self._place.bucket, Key=self._key, ExpectedBucketOwner=self._place.owner
            )
        if there["ContentLength"] != size:
            raise EngineError(
                f"S3 has {there['ContentLength']:,} bytes of a file of {size:,} at {self._place.address}.",
                "find out who writes there, and run the same command again: it puts the file anew.",
            )
        return {"etag": there["ETag"], "bytes": size}


def need_exactly(client: S3Client, place: Place, kept: Mapping[int, Mapping[str, Any]]) -> None:
    """
    Make sure that what was put lies at *place*, and nothing else: an import takes all that lies there.

    Args:
        kept: Segment -> what `File.put` has said of it.

    Raises:
        Refused: A file is missing, another one, or one too many.
    """
    wanted = {
        place.key(one): (said["etag"], int(said["bytes"])) for one, said in kept.items() if "etag" in said
    }
    with translated(f"look into the bucket {place.bucket}"):
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=place.bucket, Prefix=place.prefix, ExpectedBucketOwner=place.owner
        )
        there = {one["Key"]: (one["ETag"], one["Size"]) for page in pages for one in page.get("Contents", ())}
    if there == wanted:
        return
    missing, more = len(wanted.keys() - there.keys()), len(there.keys() - wanted.keys())
    other = sum(there[key] != wanted[key] for key in wanted.keys() & there.keys())
    raise Refused(
        f"The files at {place.address} are not those that were written: {missing} missing, {other} changed, "
        f"{more} of others.",
        "find out who writes there; then begin anew with `replicator restart`: it takes another place.",
    )
