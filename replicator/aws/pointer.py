"""The pointer: the parameter in which an application reads which table is its own."""

from __future__ import annotations

import json
from dataclasses import dataclass

from ddbverify.errors import DdbVerifyError, NotFoundError
from ddbverify.names import table_name
from ddbverify.tables.aws import translated
from replicator.context.context import Context


@dataclass(frozen=True, slots=True)
class Pointer:
    """
    A parameter in SSM's Parameter Store, in the source's account and region.

    Args:
        name: The parameter's, as the application reads it.
    """

    context: Context
    name: str

    def value(self) -> str:
        """The target's ARN; for several pairs a JSON object of source name -> target ARN."""
        arns = {
            table_name(pair.source): self.context.resources(pair)["target_arn"]
            for pair in self.context.config.tables
        }
        return next(iter(arns.values())) if len(arns) == 1 else json.dumps(arns, sort_keys=True)

    def flip(self) -> None:
        """Let it point at the target."""
        with translated(f"set the parameter {self.name}"):
            self.context.source_client("ssm").put_parameter(
                Name=self.name, Value=self.value(), Type="String", Overwrite=True
            )

    def is_flipped(self) -> bool:
        """Whether it points at the target. Raises EngineError where it cannot be read."""
        try:
            with translated(f"read the parameter {self.name}"):
                found = self.context.source_client("ssm").get_parameter(Name=self.name)
        except NotFoundError:
            return False
        return bool(found["Parameter"]["Value"] == self.value())

    def is_surely_not_flipped(self) -> bool:
        """Whether it can be read, and does not point at the target."""
        try:
            return not self.is_flipped()
        except DdbVerifyError:
            return False
