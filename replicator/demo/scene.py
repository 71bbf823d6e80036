"""Where the story is played: two places for a table each, and who runs the commands there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3

from replicator.demo.own_run import Run

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.service_resource import Table


@dataclass(frozen=True, slots=True)
class Spot:
    """
    The place of one table.

    Args:
        session: Of its account and region, with the rights of the table's owner.
        name: The table's.
        profile: What the commands reach it by; empty for the credentials that they have anyway.
        described: The place in words.
    """

    session: boto3.Session
    account: str
    region: str
    name: str
    profile: str = ""
    described: str = ""
    partition: str = "aws"

    @property
    def arn(self) -> str:
        """The table's."""
        return f"arn:{self.partition}:dynamodb:{self.region}:{self.account}:table/{self.name}"

    @property
    def dynamodb(self) -> DynamoDBClient:
        """DynamoDB in this place."""
        return self.session.client("dynamodb")

    def client(self, service: str) -> Any:
        """A client of another service in this place."""
        make: Any = self.session.client
        return make(service)

    def table(self) -> Table:
        """The table itself."""
        return self.session.resource("dynamodb").Table(self.name)

    def __str__(self) -> str:
        return self.described or self.region


@dataclass(frozen=True, slots=True)
class Scene:
    """
    The whole of it.

    Args:
        environments: Program -> environment of the children that run it.
        pointer: Name of the SSM parameter in the source's place.
        role: Of the application's writers, in the account of each table.
        migration: Its name.
        run: Whose tag all of it has, in a user's own account; none on an embedded AWS.
        emulated: Whether it is an emulator's: there times are short, and fences are no policies of tables.
    """

    source: Spot
    target: Spot
    environments: Mapping[str, Mapping[str, str]]
    pointer: str
    role: str
    migration: str = "demo"
    run: Run | None = None
    emulated: bool = True

    @property
    def tags(self) -> list[Any]:
        """Of all that is made outside of a stack."""
        return self.run.tags if self.run else []

    @property
    def crosses_accounts(self) -> bool:
        """Whether the two tables belong to two accounts."""
        return self.source.account != self.target.account
