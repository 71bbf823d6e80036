"""
The services that are asked, and the types of their clients. Types only: nothing is imported when this runs.

boto3 makes its clients at run time. Their types come from `boto3-stubs`, which only the linters install.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, overload

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from mypy_boto3_application_autoscaling import ApplicationAutoScalingClient
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_sts import STSClient

ServiceName = Literal[
    "application-autoscaling",
    "cloudformation",
    "cloudwatch",
    "dynamodb",
    "dynamodbstreams",
    "iam",
    "kms",
    "lambda",
    "s3",
    "sns",
    "sqs",
    "ssm",
    "sts",
]
"""As boto3 names them."""


class ClientOf(Protocol):
    """Whatever gives the client of a service."""

    @overload
    def __call__(self, service: Literal["application-autoscaling"], /) -> ApplicationAutoScalingClient: ...
    @overload
    def __call__(self, service: Literal["cloudformation"], /) -> CloudFormationClient: ...
    @overload
    def __call__(self, service: Literal["cloudwatch"], /) -> CloudWatchClient: ...
    @overload
    def __call__(self, service: Literal["dynamodb"], /) -> DynamoDBClient: ...
    @overload
    def __call__(self, service: Literal["dynamodbstreams"], /) -> DynamoDBStreamsClient: ...
    @overload
    def __call__(self, service: Literal["iam"], /) -> IAMClient: ...
    @overload
    def __call__(self, service: Literal["kms"], /) -> KMSClient: ...
    @overload
    def __call__(self, service: Literal["lambda"], /) -> LambdaClient: ...
    @overload
    def __call__(self, service: Literal["s3"], /) -> S3Client: ...
    @overload
    def __call__(self, service: Literal["sns"], /) -> SNSClient: ...
    @overload
    def __call__(self, service: Literal["sqs"], /) -> SQSClient: ...
    @overload
    def __call__(self, service: Literal["ssm"], /) -> SSMClient: ...
    @overload
    def __call__(self, service: Literal["sts"], /) -> STSClient: ...
    @overload
    def __call__(self, service: ServiceName, /) -> BaseClient: ...
