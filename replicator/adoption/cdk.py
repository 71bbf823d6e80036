"""
The resource of CloudFormation as CDK code, in TypeScript. Pure.

The construct of level 1 says the very properties, so that ``cdk import`` finds the table as it is.

https://docs.aws.amazon.com/cdk/v2/guide/ref-cli-cmd-import.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

_AS_IT_IS: Final = ("PolicyDocument",)
"""Documents of another language: their members keep their names."""


def code(resources: Mapping[str, Mapping[str, Any]]) -> str:
    """
    What to paste into a stack's constructor.

    Args:
        resources: Logical id -> properties, as `cloudformation.properties` makes them.
    """
    lines = [
        "import { RemovalPolicy } from 'aws-cdk-lib';",
        "import { CfnTable } from 'aws-cdk-lib/aws-dynamodb';",
    ]
    for name, made in resources.items():
        variable = name[:1].lower() + name[1:]
        lines += [
            "",
            f"const {variable} = new CfnTable(this, {json.dumps(name)}, {_text(made, 0)});",
            f"{variable}.applyRemovalPolicy(RemovalPolicy.RETAIN);",
            f"{variable}.overrideLogicalId({json.dumps(name)});",
        ]
    return "\n".join(lines) + "\n"


def member(name: str) -> str:
    """``keySchema`` for ``KeySchema``, ``sseSpecification`` for ``SSESpecification``: as CDK writes them."""
    return re.sub(r"^[A-Z]+(?=[A-Z][a-z])|^[A-Z]+$|^[A-Z]", lambda found: found[0].lower(), name)


def _text(value: Any, depth: int) -> str:
    inner, outer = "  " * (depth + 1), "  " * depth
    if isinstance(value, Mapping):
        rows = []
        for key, one in value.items():
            text = _document(one, depth + 1) if key in _AS_IT_IS else _text(one, depth + 1)
            rows.append(f"{inner}{member(key)}: {text},")
        return "\n".join(["{", *rows, f"{outer}}}"])
    if isinstance(value, list):
        return "\n".join(["[", *(f"{inner}{_text(one, depth + 1)}," for one in value), f"{outer}]"])
    return json.dumps(value)


def _document(value: Any, depth: int) -> str:
    return json.dumps(value, indent=2).replace("\n", "\n" + "  " * depth)
