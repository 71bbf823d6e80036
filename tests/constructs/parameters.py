"""
The parameters of the templates as types, for those who deploy them with a construct.

What is committed of them in `constructs/` is written by `tests.constructs.written`; a test holds it to that.
So name, type, default and meaning of a parameter are said in one place, its template.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from replicator.stack import stacks
from tests.replicator.stack.template_rules import parsed

ROOT: Final = Path(__file__).parents[2]

OWN: Final[dict[stacks.Template, set[str]]] = {
    "base": {"StateTableName"},
    "capture": {
        "Migration",
        "Pair",
        "Restart",
        "StreamArn",
        "KeySchema",
        "StateTableArn",
        "BundleBucket",
        "BundleKey",
    },
    "queue": {"Migration", "Pair"},
    "target": {"Migration", "Pair", "Restart", "TargetTableArn", "SourceAccount"},
    "apply": {
        "Migration",
        "Pair",
        "Restart",
        "StreamArn",
        "SourceTableArn",
        "SourceKeys",
        "TargetTableArn",
        "TargetKeys",
        "LedgerTableArn",
        "StateTableArn",
        "BundleBucket",
        "BundleKey",
    },
    "audit": {
        "Migration",
        "Pair",
        "StreamArn",
        "SourceTableArn",
        "LedgerTableArn",
        "StateTableArn",
        "BundleBucket",
        "BundleKey",
    },
    "verify": {"Migration", "TableArns", "StreamArns", "BundleBucket", "AlarmHours"},
}
"""What follows from the migration, its tables and its code: nobody says it twice. By template."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """
    One that is given.

    Args:
        name: As the template has it.
        kind: `string`, `number` or `boolean`.
        default: The template's; ``None`` where it has to be given.
        meaning: The template's words.
    """

    name: str
    kind: str
    default: str | None
    meaning: str

    @property
    def camel(self) -> str:
        """The name as TypeScript writes it."""
        return self.name[0].lower() + self.name[1:]

    @property
    def literal(self) -> str:
        """The default, written alike in TypeScript and HCL."""
        return f'"{self.default}"' if self.kind == "string" else str(self.default)


def given(part: stacks.Template) -> list[Parameter]:
    """The parameters of a template that somebody gives, those without a default first."""
    template = parsed(stacks.template_body(part))
    found = [_parameter(name, one) for name, one in template["Parameters"].items() if name not in OWN[part]]
    return sorted(found, key=lambda one: one.default is not None)


def _parameter(name: str, one: dict[str, Any]) -> Parameter:
    kind = {"String": "string", "Number": "number"}[one["Type"]]
    if set(one.get("AllowedValues", ())) == {"true", "false"}:
        kind = "boolean"
    default = str(one["Default"]) if "Default" in one else None
    return Parameter(name, kind, default, " ".join(one["Description"].split()))


def typescript() -> str:
    """The parameters as interfaces that jsii reads."""
    head = "// Made of the templates by `python -m tests.constructs.written`: change those, not this.\n"
    return head + "".join(f"\n{_interface(part)}" for part in OWN)


def _interface(part: stacks.Template) -> str:
    lines = [
        f"/** Parameters of the template `{part}`, beside those that follow from the migration. */",
        f"export interface {part.capitalize()}Parameters {{",
        *(line for one in given(part) for line in _property(one)),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _property(one: Parameter) -> Iterator[str]:
    yield "  /**"
    yield f"   * {one.meaning}"
    if one.default is not None:
        yield "   *"
        yield f"   * @default {one.literal}"
    yield "   */"
    yield f"  readonly {one.camel}{'' if one.default is None else '?'}: {one.kind};"
