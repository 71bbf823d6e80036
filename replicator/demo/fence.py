"""
The demonstration's fence: an IAM deny on the writers' role.

``python -m replicator.demo.fence ROLE TABLE-ARN on|off``, or, where there is a way back,
``python -m replicator.demo.fence ROLE SOURCE-ARN TARGET-ARN source|target on|off``
"""

from __future__ import annotations

import json
import sys

import boto3
from botocore.exceptions import ClientError

POLICY = "fence-{}"


def main(role: str, *given: str) -> None:
    """
    Deny, or allow again, the role's writes to one table; twice in a row changes nothing.

    Args:
        given: The table's ARN, and ``on`` or ``off``; or the ARNs of source and target, which one, and that.
    """
    *tables, word = given
    side = "source"
    if len(tables) > 1:
        *tables, side = tables
    # Where roles work there is one for this command on each side, behind a profile; else there are none.
    session = boto3.Session()
    if (profile := f"fence-{side}") in session.available_profiles:
        session = boto3.Session(profile_name=profile)
    iam, policy = session.client("iam"), POLICY.format(side)
    table_arn = dict(zip(("source", "target"), tables, strict=False))[side]
    if word == "on":
        statement = {
            "Effect": "Deny",
            "Action": ["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"],
            "Resource": table_arn,
        }
        deny = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=deny)
        return
    try:
        iam.delete_role_policy(RoleName=role, PolicyName=policy)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchEntity":
            raise


if __name__ == "__main__":
    main(*sys.argv[1:])
