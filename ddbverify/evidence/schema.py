"""
The published JSON Schemas of what is signed, made from the types that read and write it.

``python -m ddbverify.evidence.schema`` writes them; a test holds the files against the types.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import msgspec

from ddbverify.evidence import cutover as cutover_evidence
from ddbverify.evidence import repaired
from ddbverify.evidence.evidence import SCHEMA, Evidence

FOLDER: Final = Path(__file__).parent / "schemas"


def schemas() -> dict[str, dict[str, Any]]:
    """File name -> JSON Schema (2020-12)."""
    return {
        f"evidence-v{SCHEMA}.json": _schema(Evidence, "Evidence of a run of ddbverify"),
        f"cutover-v{cutover_evidence.SCHEMA}.json": _schema(
            cutover_evidence.CutoverEvidence, "Evidence of a cutover of replicator"
        ),
        f"repair-v{repaired.SCHEMA}.json": _schema(
            repaired.RepairEvidence, "Evidence of a repair of replicator"
        ),
    }


def text(schema: dict[str, Any]) -> str:
    """A schema as its file has it."""
    return json.dumps(schema, indent=2) + "\n"


def _schema(kind: type[msgspec.Struct], title: str) -> dict[str, Any]:
    made = msgspec.json.schema(kind)
    for one in made["$defs"].values():
        if "properties" in one:  # nothing may be left out, a default is for whoever writes
            one["required"] = list(one["properties"])
            for field in one["properties"].values():
                field.pop("default", None)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    return head | made


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, schema in schemas().items():
        (FOLDER / name).write_text(text(schema), encoding="utf-8")
