"""
The demonstration's fence: an IAM deny on the writers' role.

``python -m replicator.demo.fence ROLE TABLE-ARN on|off``
"""

from __future__ import annotations

import json
import sys

import boto3
from botocore.exceptions import ClientError

POLICY = "fence"


def main(role: str, table_arn: str, word: str) -> None:
    """Deny, or allow again, the role's writes to one table; twice in a row changes nothing."""
    iam = boto3.client("iam")
    if word == "on":
        statement = {
            "Effect": "Deny",
            "Action": ["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"],
            "Resource": table_arn,
        }
        deny = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_role_policy(RoleName=role, PolicyName=POLICY, PolicyDocument=deny)
        return
    try:
        iam.delete_role_policy(RoleName=role, PolicyName=POLICY)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchEntity":
            raise


if __name__ == "__main__":
    main(*sys.argv[1:])
