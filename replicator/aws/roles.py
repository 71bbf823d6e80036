"""Whom a fence in a policy lets through, as ``aws:PrincipalArn`` names them."""

from __future__ import annotations


def role_of(identity: str) -> tuple[str, ...]:
    """
    What ``aws:PrincipalArn`` may say for a caller: the role behind an assumed-role session.

    Two patterns, since a role's path is not part of the session's ARN.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
    """
    if ":assumed-role/" not in identity:
        return (identity,)
    head, _, rest = identity.partition(":assumed-role/")
    account = head.rpartition(":")[2]
    partition = identity.split(":", 2)[1]
    name = rest.partition("/")[0]
    return (f"arn:{partition}:iam::{account}:role/{name}", f"arn:{partition}:iam::{account}:role/*/{name}")


def replication_of(identity: str) -> str:
    """
    The role that DynamoDB replicates a global table with, in the account of a caller.

    A replica that denies it for more than 20 hours stops being one, for good (docs/aws.md T31).
    """
    _, partition, _, _, account, _ = identity.split(":", 5)
    path = "aws-service-role/replication.dynamodb.amazonaws.com/AWSServiceRoleForDynamoDBReplication"
    return f"arn:{partition}:iam::{account}:role/{path}"
