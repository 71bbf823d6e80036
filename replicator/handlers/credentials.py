"""Credentials of an assumed role that refresh themselves."""

from __future__ import annotations

from typing import Any

import boto3
import botocore.session
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials


def assumed_role(
    role_arn: str, session_name: str = "replicator", *, ambient: boto3.Session | None = None
) -> boto3.Session:
    """
    A session under *role_arn*, or the *ambient* one where it is empty: its models are read already.

    A bare ``sts.assume_role`` does not refresh and dies within the hour (boto3#443,
    docs/aws.md T21); botocore's own fetcher, which profiles use, does.
    """
    if not role_arn:
        return ambient or boto3.Session()
    source = botocore.session.get_session()
    fetcher = AssumeRoleCredentialFetcher(
        client_creator=source.create_client,
        source_credentials=source.get_credentials(),
        role_arn=role_arn,
        extra_args={"RoleSessionName": session_name},
    )
    session = botocore.session.get_session()
    inner: Any = session  # botocore has no public setter
    inner._credentials = DeferredRefreshableCredentials(  # noqa: SLF001
        method="assume-role", refresh_using=fetcher.fetch_credentials
    )
    return boto3.Session(botocore_session=session)
