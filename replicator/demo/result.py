"""
The signed result of a demonstration in a user's account: what may be sent to us.

It holds versions, a region, times, and what was seen there otherwise than on the embedded AWS; no account id,
no ARN, no name of a table and no item. Texts of errors hold such, so a failed step is named and not quoted.
"""

from __future__ import annotations

import base64
import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import boto3
import botocore

from ddbverify.errors import ConfigurationError
from ddbverify.evidence import envelope, signing
from ddbverify.evidence.envelope import NotTrusted, PublicKey
from ddbverify.tables.aws import translated
from replicator.demo.beforehand import Account
from replicator.demo.scene import Scene

TYPE: Final = "application/vnd.ddbverify.demonstration+json"
"""Payload type of the envelope."""

_FIELDS: Final = ("seed", "seconds", "writes_after_flip", "longest_refusal_seconds", "proof")


@dataclass(frozen=True, slots=True)
class Difference:
    """
    What an AWS may do otherwise than the embedded one.

    Args:
        what: The question.
        embedded: What the embedded AWS does.
        here: What was seen; ``None``: the story has not come so far.
    """

    what: str
    embedded: str
    here: str | None


def differences(
    of: Account, scene: Scene, told: Mapping[str, Any], *, had_tags: bool | None
) -> list[Difference]:
    """
    Look at what is left of the story, before it is removed.

    Args:
        told: Its outcome.
        had_tags: Whether the restored target had any; ``None``: there was none.
    """
    target: Any = None
    if had_tags is not None:
        with translated(f"describe the table {scene.target.name}"):
            target = scene.target.dynamodb.describe_table(TableName=scene.target.name)["Table"]
    refused = told.get("longest_refusal_seconds") or 0.0
    return [
        Difference(
            "a restored table says what it was restored from",
            "no",
            None if target is None else _yes(bool(target.get("RestoreSummary"))),
        ),
        Difference(
            "a restored table has the source's tags",
            "no",
            None if had_tags is None else _yes(had_tags),
        ),
        Difference(
            "ItemCount of a table that is written to is exact",
            "yes",
            None
            if target is None
            else _yes(target.get("ItemCount") == (told.get("proof") or {}).get("expected")),
        ),
        Difference(
            "the policy of a table keeps writers off",
            "no: an IAM deny does",
            None if not refused else ("no: an IAM deny does" if of.emulated else "yes"),
        ),
        Difference("functions that may run at once", "as many as its machine holds", str(of.concurrency)),
    ]


def _yes(answer: bool) -> str:
    return "yes" if answer else "no"


def payload(
    of: Account,
    told: Mapping[str, Any],
    seen: Sequence[Difference],
    *,
    asked: Mapping[str, Any],
    removed: bool,
    key: PublicKey,
) -> dict[str, Any]:
    """
    What the file says.

    Args:
        asked: Options and the ceiling.
        removed: Whether nothing is left in the account.
    """
    steps = [
        {"step": one["step"], "seconds": round(one["seconds"], 1), "held": one["held"]}
        for one in told.get("steps", [])
    ]
    return {
        "schema": 1,
        "held": bool(told.get("held")),
        "removed": removed,
        "aws": not of.emulated,
        "region": of.region,
        "versions": {
            "ddbverify": importlib.metadata.version("ddbverify"),
            "python": platform.python_version(),
            "boto3": boto3.__version__,
            "botocore": botocore.__version__,
            "system": platform.system(),
        },
        "asked": dict(asked),
        **{name: told.get(name) for name in _FIELDS},
        "steps": steps,
        "failed_in": next((one["step"] for one in steps if not one["held"]), None),
        "differences": [asdict(one) for one in seen],
        "public_key": str(key),
    }


def write(path: Path, document: Mapping[str, Any], key: envelope.SigningKey) -> None:
    """
    Sign the result.

    Raises:
        ConfigurationError: The file cannot be written.
    """
    content = envelope.seal(json.dumps(document, ensure_ascii=False).encode(), TYPE, key)
    try:
        path.write_bytes(content)
    except OSError as error:
        raise ConfigurationError(
            f"The result cannot be written to {path}: {error.strerror}.", "name another file with --result."
        ) from error


def read(content: bytes) -> dict[str, Any]:
    """
    What a result says, unaltered since it was signed by the key that it names: that tells nothing of whose.

    Raises:
        NotTrusted: It has been altered, or is something else.
    """
    try:
        named = json.loads(base64.b64decode(json.loads(content)["payload"]))["public_key"]
        trusted = PublicKey.parse(named)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise NotTrusted("it is no result of a demonstration") from error
    document: dict[str, Any] = json.loads(envelope.open_envelope(content, TYPE, (trusted,)))
    return document


def new_key(folder: Path) -> signing.FileKey:
    """A key of one result's own."""
    return signing.make(folder / "result-key.pem")
