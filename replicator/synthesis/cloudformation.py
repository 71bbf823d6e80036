"""Templates, files of parameters, and the calls of AWS's command line that deploy them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence

from replicator.synthesis.deployable import CAPABILITY, Deployable, Files, templates

_HEAD = """#!/bin/sh
# Deploys the stacks in this order. AWS_PROFILE_SOURCE and AWS_PROFILE_TARGET name a profile for each account;
# by default, the credentials are those of your environment.
set -eu
cd "$(dirname "$0")"
"""


def files(stacks: Sequence[Deployable]) -> Files:
    """Of each stack a template and its parameters, and ``deploy.sh``."""
    parameters = {f"{stack.name}.parameters.json": _parameters(stack) for stack in stacks}
    calls = "".join(_call(stack) for stack in stacks)
    return {**templates(stacks), **parameters, "deploy.sh": f"{_HEAD}{calls}"}


def _parameters(stack: Deployable) -> str:
    rows = [{"ParameterKey": key, "ParameterValue": value} for key, value in sorted(stack.parameters.items())]
    return json.dumps(rows, indent=2, ensure_ascii=False) + "\n"


def _call(stack: Deployable) -> str:
    profile = f"AWS_PROFILE_{stack.side.upper()}"
    words = [
        "aws cloudformation deploy --no-fail-on-empty-changeset",
        f"--stack-name {stack.name} --region {stack.region} --capabilities {CAPABILITY}",
        f"--template-file {stack.file}",
        *([f"--parameter-overrides file://{stack.name}.parameters.json"] if stack.parameters else []),
        "--tags " + " ".join(shlex.quote(f"{key}={value}") for key, value in sorted(stack.tags.items())),
        f'${{{profile}:+--profile "${profile}"}}',
    ]
    return "\n" + " \\\n  ".join(words) + "\n"
