"""Which stack owns a table, and whether its next deployment could take the table away."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import botocore.exceptions

from ddbverify.tables import aws

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient


@dataclass(frozen=True, slots=True)
class Owner:
    """A stack of CloudFormation that a table is a resource of."""

    stack: str
    logical_id: str
    keeps: bool | None  # whether a table that leaves the template stays; None: the template does not say it

    def said(self, table: str) -> str:
        """What there is to know, and to do, in a sentence."""
        of = f"{table} belongs to the stack {self.stack}, as {self.logical_id}"
        if self.keeps:
            return f"{of}; by its DeletionPolicy it stays when it leaves the template"
        if self.keeps is None:
            return (
                f"{of}, whose template is in YAML: see to it that `DeletionPolicy: Retain` and "
                "`UpdateReplacePolicy: Retain` are set there and deployed, before it leaves the template"
            )
        return (
            f"{of}: set `DeletionPolicy: Retain` and `UpdateReplacePolicy: Retain` there and deploy that, "
            "before it leaves the template"
        )


def owner_of(client: CloudFormationClient, table: str) -> Owner | None:
    """
    The stack that *table* is a resource of, if there is one.

    Raises:
        EngineError: CloudFormation does not say.
    """
    try:
        with aws.translated(f"ask which stack owns {table} (cloudformation:DescribeStackResources)"):
            found = _resources(client, table)
        own = [one for one in found if one.get("PhysicalResourceId") == table]
        if not own:
            return None
        with aws.translated(f"read the template of {own[0]['StackName']} (cloudformation:GetTemplate)"):
            body = client.get_template(StackName=own[0]["StackName"], TemplateStage="Processed")[
                "TemplateBody"
            ]
    except _NotAnswered:
        return None
    return Owner(own[0]["StackName"], own[0]["LogicalResourceId"], _keeps(body, own[0]["LogicalResourceId"]))


class _NotAnswered(Exception):
    """No stack has such a resource."""


def _resources(client: CloudFormationClient, table: str) -> list[Any]:
    try:
        return list(client.describe_stack_resources(PhysicalResourceId=table)["StackResources"])
    except botocore.exceptions.ClientError as error:
        if aws.error_code(error) == "ValidationError":  # "Stack for orders does not exist"
            raise _NotAnswered from error
        raise


def _keeps(body: Any, logical_id: str) -> bool | None:
    """What a processed template says, which is JSON or, of a template in YAML, a text."""
    if isinstance(body, str):
        try:
            body = json.loads(body)
        except ValueError:
            return None
    resource = (body.get("Resources") or {}).get(logical_id) or {}
    return resource.get("DeletionPolicy") in ("Retain", "RetainExceptOnCreate")
