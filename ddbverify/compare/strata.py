"""
Keys that are compared beside a sample, because somebody has a reason to look at them.

A sample of whole segments bounds what it has not read; keys that a person has chosen bound
nothing, so they are read, counted and reported apart from it: the newest orders, say, or the
customers that a bug was about.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from ddbverify.config import read_text
from ddbverify.errors import ConfigurationError
from ddbverify.items.keys import JoinKey, join_key
from ddbverify.names import KeySchema


def read(path: Path, *schemas: KeySchema) -> tuple[JoinKey, ...]:
    """
    The keys in a file of JSON Lines, each once.

    A line holds a key in DynamoDB's JSON, ``{"id": {"S": "7"}}``, or stands in an object under
    ``key``, as in a ``findings.jsonl``.

    Args:
        path: The file.
        schemas: Key schemas that the keys may be of, with values of the same types.

    Raises:
        ConfigurationError: It cannot be read, has no line, or one that holds no key. The message
            names the line and quotes nothing of it.
    """
    lines = read_text(path, "name a file of JSON Lines.", shown_as=f"--stratum: {path}").split("\n")
    keys = {_key(path, number, line, schemas): None for number, line in enumerate(lines, 1) if line.strip()}
    if not keys:
        raise ConfigurationError(f"--stratum: {path} holds no key.", "write one key to a line.")
    return tuple(keys)


def changed(path: Path | None, schema: KeySchema) -> tuple[JoinKey, ...] | None:
    """
    The keys in a file as `read` reads it, which may be empty; ``None`` where there is no file.

    The file is gone then: its keys are raw, and who read it may be killed.
    """
    if path is None:
        return None
    keys = read(path, schema) if path.stat().st_size else ()
    path.unlink()
    return keys


def digest(path: Path) -> str:
    """SHA-256 of a file: another list is another comparison."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _key(path: Path, number: int, line: str, schemas: Sequence[KeySchema]) -> JoinKey:
    is_plain = False
    try:
        document = json.loads(line)
        for candidate in (document, document.get("key")):
            for schema in schemas:
                if isinstance(candidate, dict) and candidate.keys() >= schema.keys():
                    is_plain = is_plain or not any(isinstance(candidate[name], dict) for name in schema)
                    if not is_plain:
                        return join_key(candidate, schema)
    except (ValueError, AttributeError, RecursionError):
        pass
    example = json.dumps({name: {kind: "..."} for name, kind in schemas[0].items()}, ensure_ascii=False)
    raise ConfigurationError(
        f"--stratum: line {number} of {path} is {'plain JSON' if is_plain else 'no key of the table'}.",
        f"use DynamoDB JSON, one key on a line: {example}.",
    )
