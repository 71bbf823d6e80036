"""
Templates, and a ``samconfig.toml`` with an environment for each stack.

Nothing in our templates is of the Serverless transform, so that `sam` deploys them as they are.

https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/serverless-sam-cli-config.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from replicator.synthesis.deployable import CAPABILITY, Deployable, Files, templates


def files(stacks: Sequence[Deployable]) -> Files:
    """Of each stack its template, and ``samconfig.toml``, with an environment of the stack's name."""
    head = "# In this order: " + ", ".join(f"sam deploy --config-env {stack.name}" for stack in stacks) + "\n"
    sections = "\n".join(_section(stack) for stack in stacks)
    return {**templates(stacks), "samconfig.toml": f"{head}version = 0.1\n\n{sections}"}


def _section(stack: Deployable) -> str:
    rows = {
        "stack_name": stack.name,
        "template_file": stack.file,
        "region": stack.region,
        "capabilities": CAPABILITY,
        "fail_on_empty_changeset": False,
        "parameter_overrides": _pairs(stack.parameters),
        "tags": _pairs(stack.tags),
    }
    told = "".join(
        f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in rows.items() if value != ""
    )
    return f"[{stack.name}.deploy.parameters]\n{told}"


def _pairs(values: Mapping[str, str]) -> str:
    """As `sam` reads pairs: each value in quotation marks, and those in it behind a backslash."""
    return " ".join(f"{_key(key)}={_quoted(value)}" for key, value in sorted(values.items()))


def _key(text: str) -> str:
    return text if text.isalnum() else _quoted(text)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"'
