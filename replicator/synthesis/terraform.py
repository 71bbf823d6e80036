"""
Templates, and an ``aws_cloudformation_stack`` for each. Pure.

Resources of Terraform's own would be a second definition of each role and mapping, which only Terraform could
check; and `replicator` finds what was deployed by its stack.

https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/cloudformation_stack
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from replicator.synthesis.deployable import CAPABILITY, Deployable, Files, templates

PROVIDER: Final = "~> 5.100"

_HEAD: Final = f"""terraform {{
  required_version = ">= 1.5"

  required_providers {{
    aws = {{
      source  = "hashicorp/aws"
      version = "{PROVIDER}"
    }}
  }}
}}
"""


NOT_NOTIFIED: Final = "The commands read what becomes of a stack, and its alarms go to AlarmTopicArn."
"""Why `checkov` need not find a topic for the events of a stack."""


def files(stacks: Sequence[Deployable]) -> Files:
    """Of each stack its template, and ``main.tf``."""
    regions = {stack.side: stack.region for stack in stacks}
    providers = "".join(
        f'\nprovider "aws" {{\n  alias  = "{side}"\n  region = {quoted(region)}\n}}\n'
        for side, region in sorted(regions.items())
    )
    return {**templates(stacks), "main.tf": _HEAD + providers + "".join(_resource(stack) for stack in stacks)}


def _resource(stack: Deployable) -> str:
    parameters = f"\n  parameters = {_map(stack.parameters)}\n" if stack.parameters else ""
    return (
        f'\nresource "aws_cloudformation_stack" "{stack.word}" {{\n'
        f"  # checkov:skip=CKV_AWS_124:{NOT_NOTIFIED}\n"
        f"  provider = aws.{stack.side}\n\n"
        f"  name          = {quoted(stack.name)}\n"
        f'  template_body = file("${{path.module}}/{stack.file}")\n'
        f"  capabilities  = [{quoted(CAPABILITY)}]\n"
        f"{parameters}\n  tags = {_map(stack.tags)}\n}}\n"
    )


def _map(values: Mapping[str, str]) -> str:
    rows = "".join(f"    {quoted(key)} = {quoted(value)}\n" for key, value in sorted(values.items()))
    return f"{{\n{rows}  }}"


def quoted(text: str) -> str:
    """A text as HCL writes it: what would begin a template is escaped."""
    return json.dumps(text, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")
