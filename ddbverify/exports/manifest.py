"""
The two manifests of an export: bytes -> what it is of, when, and which parts it has. Pure.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import msgspec

from ddbverify.errors import Inconclusive
from ddbverify.words import number_of

SUMMARY: Final = "manifest-summary.json"
FILES: Final = "manifest-files.json"

CHECKSUMS: Final = (".checksum", ".md5")
"""What stands in place of ``.json`` in the name of a manifest's checksum: the first in AWS's documentation,
the second in its exports."""

_AGAIN: Final = "copy the whole export anew, or make another one."

_PART: Final = re.compile(r"(?:(?P<export>[A-Za-z0-9-]+)/)?data/[A-Za-z0-9][A-Za-z0-9._-]*")
_ARN: Final = re.compile(
    r"arn:[a-z-]+:dynamodb:[a-z0-9-]+:\d{12}:table/[A-Za-z0-9_.-]+/export/([A-Za-z0-9-]+)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One data file."""

    name: str  # below the folder AWSDynamoDB, such as ``01700000000000-0a1b2c3d/data/x.json.gz``
    items: int
    md5: bytes  # of the file as it lies there, compressed


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an export says of itself. Times are seconds since the epoch."""

    export_arn: str
    export_id: str
    table_arn: str
    table_id: str
    since: float | None  # an incremental export holds what was written from then on; None: a full one
    until: float  # and before then: the state that it shows
    items: int
    size_bytes: int  # as AWS has billed it
    output_format: Literal["DYNAMODB_JSON", "ION"]
    parts: tuple[Part, ...]
    digests: Mapping[str, str]  # SHA-256 of each manifest
    unchecked: tuple[str, ...]  # manifests without a checksum beside them

    @property
    def is_incremental(self) -> bool:
        """Whether it holds changes only."""
        return self.since is not None


class _Summary(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """``manifest-summary.json``. A field that is not known here may say that the export is not all of it."""

    version: str
    export_arn: str
    start_time: datetime
    end_time: datetime
    table_arn: str
    table_id: str
    s3_bucket: str
    s3_prefix: str | None
    s3_sse_algorithm: str | None
    s3_sse_kms_key_id: str | None
    manifest_files_s3_key: str
    billed_size_bytes: int
    item_count: int
    output_format: Literal["DYNAMODB_JSON", "ION"]
    export_time: datetime | None = None
    export_from_time: datetime | None = None
    export_to_time: datetime | None = None
    output_view: Literal["NEW_IMAGE", "NEW_IMAGES", "NEW_AND_OLD_IMAGES"] | None = None
    export_type: Literal["FULL_EXPORT", "INCREMENTAL_EXPORT"] = "FULL_EXPORT"


class _File(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """One line of ``manifest-files.json``."""

    item_count: int
    md5_checksum: str
    data_file_s3_key: str
    etag: str | None = None


def parse(summary: bytes, files: bytes, checksums: Mapping[str, bytes], *, shown_as: str) -> Manifest:
    """
    Both manifests, held against their checksums and against each other.

    Args:
        summary: `SUMMARY` as it lies there.
        files: `FILES`.
        checksums: By the name of the manifest, the checksum that lies beside it: Base64 of its MD5.
        shown_as: The export's address, for messages.

    Raises:
        Inconclusive: They are damaged, contradict each other, or say something that is not understood.
    """
    documents = {SUMMARY: summary, FILES: files}
    for name, document in documents.items():
        if name in checksums and _md5_in(checksums[name]) != hashlib.md5(document).digest():  # noqa: S324
            raise _damaged(shown_as, f"{name} does not match its checksum")
    try:
        said = msgspec.json.decode(summary, type=_Summary)
        listed = msgspec.json.Decoder(_File).decode_lines(files)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _damaged(shown_as, f"a manifest cannot be read ({_place_of(error)})") from None
    arn = _ARN.fullmatch(said.export_arn)
    if arn is None or not said.export_arn.startswith(f"{said.table_arn}/export/"):
        raise _damaged(shown_as, f"{SUMMARY} names no export of its table")
    parts = tuple(_part(one, arn[1], shown_as) for one in listed)
    if len({part.name for part in parts}) < len(parts):
        raise _damaged(shown_as, f"{FILES} lists a data file twice")
    if (counted := sum(part.items for part in parts)) != said.item_count:
        raise _damaged(
            shown_as,
            f"{SUMMARY} counts {number_of(said.item_count, 'item')}, and the data files {counted:,}",
        )
    since, until = _times(said, shown_as)
    return Manifest(
        export_arn=said.export_arn,
        export_id=arn[1],
        table_arn=said.table_arn,
        table_id=said.table_id,
        since=since,
        until=until,
        items=said.item_count,
        size_bytes=said.billed_size_bytes,
        output_format=said.output_format,
        parts=parts,
        digests={name: hashlib.sha256(document).hexdigest() for name, document in documents.items()},
        unchecked=tuple(name for name in documents if name not in checksums),
    )


def _times(said: _Summary, shown_as: str) -> tuple[float | None, float]:
    """From when on, and until when."""
    full, begin, end = said.export_time, said.export_from_time, said.export_to_time
    if said.export_type == "FULL_EXPORT" and full is not None and begin is None and end is None:
        return None, full.timestamp()
    if said.export_type == "INCREMENTAL_EXPORT" and begin is not None and end is not None and begin < end:
        return begin.timestamp(), end.timestamp()
    raise _damaged(shown_as, f"{SUMMARY} does not say of which time it is")


def _part(one: _File, export_id: str, shown_as: str) -> Part:
    name = one.data_file_s3_key.rpartition("AWSDynamoDB/")[2]
    found = _PART.fullmatch(name)
    if found is None or found["export"] not in (None, export_id) or one.item_count < 0:
        raise _damaged(shown_as, f"{FILES} lists something that is no data file of this export")
    return Part(name=name, items=one.item_count, md5=_md5_in(one.md5_checksum.encode()))


def _md5_in(text: bytes) -> bytes:
    """The digest that is written as Base64; what is none matches no document."""
    try:
        return base64.b64decode(text.strip(), validate=True)
    except ValueError:
        return b""


def _place_of(error: Exception) -> str:
    """Which field is wrong; msgspec says so without its value."""
    return str(error).partition("\n")[0] if isinstance(error, msgspec.ValidationError) else "no JSON"


def _damaged(shown_as: str, what: str) -> Inconclusive:
    return Inconclusive(f"The export {shown_as} is not whole: {what}.", _AGAIN)
