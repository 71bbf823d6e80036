"""
The Terraform module, made of the templates: `constructs/terraform/`.

Its resources are the same CloudFormation stacks that every other form deploys. What one stack takes of
another is a reference here, so nobody copies outputs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from replicator.stack import stacks
from replicator.synthesis.deployable import CAPABILITY
from replicator.synthesis.terraform import NOT_NOTIFIED, PROVIDER
from tests.constructs.parameters import OWN, Parameter, given
from tests.replicator.stack.template_rules import parsed

HEAD: Final = "# Made of the templates by `python -m tests.constructs.written`: change those, not this.\n"

FOLLOWS: Final[dict[stacks.Template, dict[str, str]]] = {
    "base": {"StateTableName": '"replicator-${var.migration}-state"'},
    "capture": {
        "Migration": "var.migration",
        "Pair": "id",
        "Restart": "tostring(pair.restart)",
        "StreamArn": "pair.stream_arn",
        "KeySchema": "local.source_keys[id]",
        "StateTableArn": 'aws_cloudformation_stack.base.outputs["StateTableArn"]',
        "BundleBucket": 'aws_cloudformation_stack.base.outputs["BundleBucket"]',
        "BundleKey": "var.bundle_key",
    },
    "queue": {"Migration": "var.migration", "Pair": "id"},
    "target": {
        "Migration": "var.migration",
        "Pair": "id",
        "Restart": "tostring(pair.restart)",
        "TargetTableArn": "pair.target_table_arn",
        "SourceAccount": "local.source_accounts[id]",
        "Audited": "tostring(pair.audit != null)",
    },
    "apply": {
        "Migration": "var.migration",
        "Pair": "id",
        "Restart": "tostring(pair.restart)",
        "StreamArn": "pair.stream_arn",
        "QueueArn": 'aws_cloudformation_stack.capture[id].outputs["QueueArn"]',
        "SourceTableArn": "pair.source_table_arn",
        "SourceKeys": "local.source_keys[id]",
        "TargetTableArn": "pair.target_table_arn",
        "TargetKeys": "local.target_keys[id]",
        "LedgerTableArn": 'aws_cloudformation_stack.target[id].outputs["LedgerTableArn"]',
        "WriterRoleArn": 'lookup(aws_cloudformation_stack.target[id].outputs, "WriterRoleArn", "")',
        "StateTableArn": 'aws_cloudformation_stack.base.outputs["StateTableArn"]',
        "BundleBucket": 'aws_cloudformation_stack.base.outputs["BundleBucket"]',
        "BundleKey": "var.bundle_key",
    },
    "audit": {
        "Migration": "var.migration",
        "Pair": "id",
        "StreamArn": "pair.stream_arn",
        "QueueArn": 'aws_cloudformation_stack.capture[id].outputs["QueueArn"]',
        "DeadLetterUrl": 'aws_cloudformation_stack.capture[id].outputs["DeadLetterUrl"]',
        "SourceTableArn": "pair.source_table_arn",
        "LedgerTableArn": 'aws_cloudformation_stack.target[id].outputs["LedgerTableArn"]',
        "ReaderRoleArn": 'lookup(aws_cloudformation_stack.target[id].outputs, "ReaderRoleArn", "")',
        "StateTableArn": 'aws_cloudformation_stack.base.outputs["StateTableArn"]',
        "BundleBucket": 'aws_cloudformation_stack.base.outputs["BundleBucket"]',
        "BundleKey": "var.bundle_key",
    },
    "verify": {
        "Migration": "var.migration",
        "TableArns": 'join(",", local.tables)',
        "StreamArns": 'join(",", [for one in local.tables : "${one}/stream/*"])',
        "BundleBucket": 'aws_cloudformation_stack.base.outputs["BundleBucket"]',
        "AlarmHours": "tostring(2 * given.every_hours)",
    },
}
"""What a parameter follows from, as an expression; all others are given."""

GIVEN_AS: Final = {"base": "storage", "target": "ledger"}
"""Variables that are not called as their template."""

OF_THE_MIGRATION: Final = ("base", "verify")
"""Templates of which there is one for all pairs."""

_STACK: Final = {"queue": "capture"}  # of the same name: what fills the queue differs
_SIDE: Final = {"target": "target"}

_KEYS: Final = "list(object({ name = string, type = string }))"
_VARIABLES: Final = """
variable "migration" {
  description = "`name` of migration.toml."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,29}$", var.migration))
    error_message = "This is no name of a migration. Give `name` of migration.toml."
  }
}

variable "tags" {
  description = "Tags of all stacks; the migration's name is added."
  type        = map(string)
  default     = {}
}

variable "bundle_key" {
  description = "Key of the functions' code, as `replicator up` has stored it; `capture` needs it."
  type        = string
  default     = null

  validation {
    condition     = var.bundle_key != null || alltrue([for pair in var.pairs : pair.capture == null])
    error_message = "`capture` needs `bundle_key`. Leave it out until `replicator up` has stored the code."
  }
}
"""
_VERIFY: Final = """
variable "verify" {
  description = "Parameters of the stack `verify`, with `[verification] every`; left out, it is not made."
  type = object({
VALUES  })
  default = null

  validation {
    condition = var.verify == null || length(distinct(flatten([
      for pair in var.pairs : [split(":", pair.source_table_arn)[4], split(":", pair.target_table_arn)[4]]
    ]))) == 1
    error_message = "`verify` builds with a role of one account. Leave it out where the tables are of two."
  }
}
"""
_PAIRS: Final = """
variable "pairs" {
  description = "The pairs by id, as `replicator status` shows it. What is left out of one is not made."
  type = map(object({
    source_table_arn = string
    source_keys      = KEYS
    target_table_arn = string
    target_keys      = KEYS
    restart          = optional(number, 0)
    stream_arn       = optional(string)
STACKS  }))

  validation {
    condition     = alltrue([for pair in var.pairs : pair.capture == null || pair.stream_arn != null])
    error_message = "`capture` needs `stream_arn`. Leave it out until `replicator up` has turned it on."
  }

  validation {
    condition = alltrue([
      for pair in var.pairs :
      (pair.apply == null && pair.audit == null) || (pair.capture != null && pair.ledger != null)
    ])
    error_message = "`apply` and `audit` take the queue of `capture` and the ledger. Give both."
  }

  validation {
    condition     = alltrue([for pair in var.pairs : pair.queue == null || pair.capture == null])
    error_message = "`queue` is for workers, `capture` for functions. Leave out one of them."
  }
}
"""

_LOCALS: Final = """
locals {
  tags = merge(var.tags, { "replicator:migration" = var.migration })

  # As Python writes it, since the commands compare the text.
  source_keys = { for id, pair in var.pairs : id => "{${join(", ", [
    for one in pair.source_keys : "${jsonencode(one.name)}: ${jsonencode(one.type)}"
  ])}}" }
  target_keys = { for id, pair in var.pairs : id => "{${join(", ", [
    for one in pair.target_keys : "${jsonencode(one.name)}: ${jsonencode(one.type)}"
  ])}}" }

  # Of the consumer, where it is another one than the target's.
  accounts = { for id, pair in var.pairs : id => split(":", pair.source_table_arn)[4] }
  source_accounts = { for id, pair in var.pairs : id =>
    local.accounts[id] == split(":", pair.target_table_arn)[4] ? "" : local.accounts[id]
  }

  # Every source and target, in the order in which the commands name them.
  tables = sort(distinct(flatten([for pair in var.pairs : [pair.source_table_arn, pair.target_table_arn]])))
}
"""


def snake(name: str) -> str:
    """The name of a parameter as Terraform writes it."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _given(part: stacks.Template) -> list[Parameter]:
    return [one for one in given(part) if one.name not in FOLLOWS[part]]


def variables() -> str:
    """`variables.tf`: the parameters that somebody gives, with types, defaults and meanings."""
    storage = "".join(_attribute(one, "    ") for one in _given("base"))
    base = (
        '\nvariable "storage" {\n  description = "Parameters of the stack `base`: state table and bucket."\n'
        f"  type = object({{\n{storage}  }})\n  default = {{}}\n}}\n"
    )
    verify = "".join(_attribute(one, "    ") for one in _given("verify"))
    base += _VERIFY.replace("VALUES", verify)
    made = "".join(_object(part) for part in OWN if part not in OF_THE_MIGRATION)
    return aligned(HEAD + _VARIABLES + base + _PAIRS.replace("KEYS", _KEYS).replace("STACKS", made))


def _object(part: stacks.Template) -> str:
    rows = "".join(_attribute(one, "      ") for one in _given(part))
    return f"\n    {GIVEN_AS.get(part, part)} = optional(object({{\n{rows}    }}))\n"


def _attribute(one: Parameter, indent: str) -> str:
    kind = {"boolean": "bool"}.get(one.kind, one.kind)
    told = kind if one.default is None else f"optional({kind}, {one.literal})"
    return f"{indent}# {one.meaning}\n{indent}{snake(one.name)} = {told}\n"


def main() -> str:
    """`main.tf`: a stack for each template."""
    head = f"""
terraform {{
  required_version = ">= 1.9"

  required_providers {{
    aws = {{
      source                = "hashicorp/aws"
      version               = "{PROVIDER}"
      configuration_aliases = [aws.source, aws.target]
    }}
  }}
}}
"""
    return aligned(HEAD + head + _LOCALS + "".join(f"{_values(part)}{_resource(part)}" for part in OWN))


def _values(part: stacks.Template) -> str:
    name = GIVEN_AS.get(part, part)
    place, indent = ("var.storage", "      ") if part == "base" else (f"pair.{name}", "      ")
    rows = "".join(f"{indent}{key} = {value}\n" for key, value in _parameters(part, place))
    if part == "base":
        inner = f'    name = "replicator-${{var.migration}}-base"\n    parameters = {{\n{rows}    }}\n'
        return f"\nlocals {{\n  base = {{\n{inner}  }}\n}}\n"
    if part == "verify":  # one, or none
        rows = "".join(f"{indent}{key} = {value}\n" for key, value in _parameters(part, "given"))
        inner = f'    name = "replicator-${{var.migration}}-verify"\n    parameters = {{\n{rows}    }}\n'
        each = "for given in var.verify[*] : var.migration => {"
        return f"\nlocals {{\n  verify = {{ {each}\n{inner}  }} }}\n}}\n"
    stack = f'"replicator-${{var.migration}}-${{id}}-{_STACK.get(part, part)}"'
    return (
        f"\nlocals {{\n  {part} = {{ for id, pair in var.pairs : id => {{\n    name = {stack}\n"
        f"    parameters = {{\n{rows}    }}\n  }} if pair.{name} != null }}\n}}\n"
    )


def _parameters(part: stacks.Template, place: str) -> Iterator[tuple[str, str]]:
    kinds = {one.name: one.kind for one in given(part)}
    for name in parsed(stacks.template_body(part))["Parameters"]:
        value = f"{place}.{snake(name)}"
        plain = value if kinds.get(name) == "string" else f"tostring({value})"
        yield name, FOLLOWS[part].get(name, plain)


def _resource(part: stacks.Template) -> str:
    each = "" if part == "base" else f"  for_each = local.{part}\n"
    one = "local.base" if part == "base" else "each.value"
    return (
        f'\nresource "aws_cloudformation_stack" "{part}" {{\n'
        f"  # checkov:skip=CKV_AWS_124:{NOT_NOTIFIED}\n"
        f"{each}  provider = aws.{_SIDE.get(part, 'source')}\n\n"
        f"  name = {one}.name\n"
        f'  template_body = file("${{path.module}}/../../replicator/stack/templates/{part}.yaml")\n'
        f'  capabilities = ["{CAPABILITY}"]\n'
        f"  parameters = {one}.parameters\n"
        f"  tags = local.tags\n}}\n"
    )


def aligned(text: str) -> str:
    """As `terraform fmt` writes it: equals signs of lines that follow one another stand below each other."""
    found: list[str] = []
    block: list[tuple[str, str, str]] = []

    def close() -> None:
        width = max((len(name) for _, name, _ in block), default=0)
        found.extend(f"{indent}{name.ljust(width)} = {value}" for indent, name, value in block)
        block.clear()

    for line in text.split("\n"):
        row = re.match(r"^( *)([\w.]+) += (.*[^{(\[>])$", line)
        if row is None or (block and block[0][0] != row[1]):
            close()
        if row is None:
            found.append(line)
        else:
            block.append((row[1], row[2], row[3]))
    close()
    return "\n".join(found)


def stand_in() -> str:
    """`main.tf` for a Terraform without the provider: its stacks as an output, and theirs as a variable."""
    text = re.sub(r'\nresource "aws_cloudformation_stack" "\w+" \{.*?\n\}\n', "", main(), flags=re.DOTALL)
    text = re.sub(r"\nterraform \{.*?\n\}\n", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r"aws_cloudformation_stack\.(\w+)(?:\[id\])?\.outputs", r"var.outputs_of.\1", text)
    rows = "".join(f"    {part} = local.{part}\n" for part in OWN)
    return (
        f'{text}\nvariable "outputs_of" {{\n  type = map(map(string))\n}}\n'
        f'\noutput "stacks" {{\n  value = {{\n{rows}  }}\n}}\n'
    )
