"""Writes exports as AWS writes them, for tests and benchmarks: manifests, checksums, gzip files of lines."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ddbverify.names import TypedItem

TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders"
AT = 1_700_000_000.0


class Exported:
    """One export below ``AWSDynamoDB`` in a folder."""

    def __init__(
        self,
        folder: Path,
        lines: Sequence[Sequence[dict[str, Any] | bytes]],
        *,
        export_id: str = "01700000000000-0a1b2c3d",
        table_id: str = "0",
        **summary: Any,
    ) -> None:
        """Write one data file for each of *lines* (bytes: as they are); each folder is of its own table."""
        table = f"{TABLE}-{folder.name}"
        self.root, self.export_id = folder / "AWSDynamoDB", export_id
        self.folder = self.root / export_id
        self.address = f"file://{self.folder}"
        is_incremental = summary.get("exportType") == "INCREMENTAL_EXPORT"
        is_in_ion = summary.get("outputFormat") == "ION"
        below = "data" if is_incremental else f"{export_id}/data"  # where AWS puts the files of each kind
        (self.root / below).mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(exist_ok=True)
        self.files: list[dict[str, Any]] = []
        for number, some in enumerate(lines):
            ending, line_of = ("ion", line_in_ion) if is_in_ion else ("json", _line_in_json)
            name = f"{below}/{export_id}-part{number}.{ending}.gz"
            text = b"".join(one if isinstance(one, bytes) else line_of(one).encode() for one in some)
            self.write_part(name, gzip.compress(text, 6, mtime=0), len(some))
        times = {} if is_incremental else {"exportTime": moment(AT)}
        self.summary: dict[str, Any] = {
            "version": "2020-06-30",
            "exportArn": f"{table}/export/{export_id}",
            "startTime": moment(AT),
            "endTime": moment(AT + 300),
            "tableArn": table,
            "tableId": table_id,
            **times,
            "s3Bucket": "exports",
            "s3Prefix": None,
            "s3SseAlgorithm": "AES256",
            "s3SseKmsKeyId": None,
            "manifestFilesS3Key": f"AWSDynamoDB/{export_id}/manifest-files.json",
            "billedSizeBytes": 0,
            "itemCount": sum(one["itemCount"] for one in self.files),
            "outputFormat": "DYNAMODB_JSON",
            **summary,
        }
        self.write_manifests()

    @property
    def data(self) -> list[Path]:
        """The data files."""
        return [self.root / one["dataFileS3Key"].removeprefix("AWSDynamoDB/") for one in self.files]

    def write_part(self, name: str, content: bytes, items: int) -> None:
        """Add a data file, and what the manifest says of it."""
        (self.root / name).write_bytes(content)
        self.files.append(
            {
                "itemCount": items,
                "md5Checksum": md5(content),
                "etag": "0-1",
                "dataFileS3Key": f"AWSDynamoDB/{name}",
            }
        )

    def write_manifests(self) -> None:
        """Write both, with checksums that fit."""
        listed = "".join(json.dumps(one, separators=(",", ":")) + "\n" for one in self.files)
        for name, text in (("summary", json.dumps(self.summary)), ("files", listed)):
            (self.folder / f"manifest-{name}.json").write_text(text)
            (self.folder / f"manifest-{name}.md5").write_text(md5(text.encode()))


def full(folder: Path, *parts: Sequence[TypedItem], **more: Any) -> Exported:
    """A full export of these items, in so many data files."""
    return Exported(folder, [[{"Item": item} for item in some] for some in parts], **more)


def changes(
    folder: Path, lines: Sequence[dict[str, Any]], since: float, until: float, *, pieces: int = 1, **more: Any
) -> Exported:
    """An incremental export of these lines, made by `put` and `deleted`, in so many data files."""
    return Exported(
        folder,
        [lines[piece::pieces] for piece in range(pieces)],
        **{
            "export_id": f"0{int(until)}000-0a1b2c3e",
            "version": "2023-08-01",
            "exportType": "INCREMENTAL_EXPORT",
            "outputView": "NEW_AND_OLD_IMAGES",
            "exportFromTime": moment(since),
            "exportToTime": moment(until),
        }
        | more,
    )


def put(item: TypedItem, *names: str) -> dict[str, Any]:
    """A line that says what a key holds now; *names*: of the key's attributes."""
    return _line({name: item[name] for name in names}) | {"NewImage": item}


def deleted(key: TypedItem) -> dict[str, Any]:
    """A line that says that a key is gone."""
    return _line(key) | {"OldImage": key}


def _line(key: TypedItem) -> dict[str, Any]:
    return {"Metadata": {"WriteTimestampMicros": {"N": "1700000000000000"}}, "Keys": key}


def moment(epoch: float) -> str:
    """As manifests write times."""
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def md5(content: bytes) -> str:
    """As manifests write checksums."""
    return base64.b64encode(hashlib.md5(content).digest()).decode()


# --- lines ----------------------------------------------------------------------------------

_IDENTIFIER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_KEYWORDS = ("null", "true", "false", "nan")


def _line_in_json(line: dict[str, Any]) -> str:
    return json.dumps(line, separators=(",", ":")) + "\n"


def line_in_ion(line: dict[str, Any]) -> str:
    """A line of a full export in Amazon Ion."""
    return f"$ion_1_0 {{Item:{in_ion({'M': line['Item']})}}}\n"


def in_ion(value: dict[str, Any]) -> str:
    """A typed value as AWS writes it in Amazon Ion."""
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return _quoted(content)
        case "N":
            return _number(content)
        case "B":
            return "{{" + str(content) + "}}"
        case "BOOL":
            return "true" if content else "false"
        case "NULL":
            return "null"
        case "L":
            return "[" + ",".join(map(in_ion, content)) + "]"
        case "M":
            return "{" + ",".join(f"{_name(one)}:{in_ion(its)}" for one, its in content.items()) + "}"
    member = kind[0]
    return f"$dynamodb_{kind}::[" + ",".join(in_ion({member: one}) for one in content) + "]"


def _quoted(content: str, mark: str = '"') -> str:
    """As ion-java writes strings and quoted symbols."""
    return mark + "".join(_escaped(one, mark) for one in content) + mark


def _escaped(one: str, mark: str) -> str:
    known = {"\0": r"\0", "\a": r"\a", "\v": r"\v", "\n": r"\n", "\\": r"\\", mark: f"\\{mark}"}
    if one in known:
        return known[one]
    return f"\\x{ord(one):02x}" if ord(one) < 0x20 or 0x7F <= ord(one) < 0xA0 else one


def _name(content: str) -> str:
    """A symbol: bare where it can be."""
    bare = _IDENTIFIER.fullmatch(content) and content not in _KEYWORDS and not content[1:2].isdigit()
    return content if bare else _quoted(content, "'")


def _number(text: str) -> str:
    """As a decimal of Ion: with a point, or with ``d`` in place of ``e``."""
    text = text.lower().replace("e+", "e")
    return text.replace("e", "d") if "e" in text else text if "." in text else f"{text}."
