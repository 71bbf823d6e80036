"""One stack as it is to be deployed, and what all forms write of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

CAPABILITY: Final = "CAPABILITY_NAMED_IAM"
"""What a stack asks for: it makes roles, and ``[stack] role_prefix`` names them."""

Files = dict[str, str]
"""Name -> text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployable:
    """
    One stack.

    Args:
        name: Its own; the commands of `replicator` find it by that.
        region: Where it belongs.
        side: ``source`` or ``target``: whose account.
        parameters: All that it is deployed with, by name.
        tags: Of the stack, which hands them on.
        text: The template.
    """

    name: str
    region: str
    side: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    text: str = field(repr=False)

    @property
    def file(self) -> str:
        """Name of the template's file."""
        return f"{self.name}.yaml"

    @property
    def word(self) -> str:
        """The name as an identifier: ``replicator_shop_base``."""
        return re.sub(r"\W", "_", self.name)


def templates(stacks: Sequence[Deployable]) -> Files:
    """The template of each stack, as it is."""
    return {stack.file: stack.text for stack in stacks}
