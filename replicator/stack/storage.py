"""The bucket of a migration: code in, and everything out again before it can be deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddbverify.errors import NotFoundError
from ddbverify.tables.aws import translated
from replicator.stack.bundle import Bundle

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def upload(s3: S3Client, bucket: str, bundle: Bundle) -> None:
    """
    Put the bundle under its key; the same bundle again changes nothing.

    Raises:
        EngineError: S3 refused it.
    """
    with translated(f"store the functions' code in the bucket {bucket}"):
        s3.put_object(Bucket=bucket, Key=bundle.key, Body=bundle.content, ChecksumSHA256=bundle.sha256_base64)


def empty(s3: S3Client, bucket: str) -> int:
    """
    Delete every object: CloudFormation deletes no bucket that holds one.

    Returns:
        How many there were; 0 also for a bucket that is gone.

    Raises:
        EngineError: S3 refused, or kept an object.
    """
    deleted = 0
    try:
        with translated(f"empty the bucket {bucket}"):
            for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
                for one in page.get("Contents", ()):
                    s3.delete_object(Bucket=bucket, Key=one["Key"])
                    deleted += 1
    except NotFoundError:
        return deleted
    return deleted
