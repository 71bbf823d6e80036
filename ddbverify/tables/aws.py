"""
Sessions and clients; botocore's errors in our own words (`ddbverify.tables.translation`).

The one module of `ddbverify` besides `tables` and `wire` that knows boto3. The replicator uses
it too: it holds no decoding that a verifier could wrongly agree with.
"""

from __future__ import annotations

import functools
import os
import platform
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, Unpack, overload

import botocore
import botocore.exceptions
import botocore.loaders
import botocore.parsers
import botocore.session
from botocore.config import Config as BotoConfig

from ddbverify.config import Side
from ddbverify.errors import ConfigurationError, EngineError
from ddbverify.tables import answers, credentials, hosts
from ddbverify.tables.translation import code_of as code_of
from ddbverify.tables.translation import error_code as error_code
from ddbverify.tables.translation import translated as translated

if TYPE_CHECKING:
    import boto3
    from botocore.client import BaseClient
    from botocore.loaders import Loader
    from botocore.session import Session as BotocoreSession
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

    from ddbverify.tables.services import ServiceName

# AWS's SDK reference recommends "standard"; "adaptive" is for special cases (docs/aws.md T21).
_BOTO = BotoConfig(
    retries={"mode": "standard", "max_attempts": 6},
    connect_timeout=10,
    read_timeout=60,
    max_pool_connections=32,
    # Given whole, since botocore makes its own anew for each request, at the cost of 100 items read.
    user_agent=f"ddbverify Botocore/{botocore.__version__} Python/{platform.python_version()}",
)


def session(side: Side, *, core: BotocoreSession | None = None) -> boto3.Session:
    """
    A boto3 session for one side of the migration.

    Args:
        side: As configured.
        core: A botocore session to build on, with components of its own (`wire`).

    Raises:
        ConfigurationError: The profile does not exist.
        AccessError: The AWS configuration of this machine cannot be read.
    """
    import boto3  # with s3transfer and more, which only what asks AWS has to wait for

    core = core or botocore.session.Session()
    core.register_component("data_loader", shared_loader())
    try:
        with credentials.loading():  # the files that name them may be no such files
            made = boto3.Session(profile_name=side.profile, region_name=side.region, botocore_session=core)
            core.get_scoped_config()  # here, and not in the first call, a profile has to exist
    except botocore.exceptions.ProfileNotFound as error:
        raise ConfigurationError(
            f"There is no AWS profile {side.profile or os.environ.get('AWS_PROFILE')!r} on this machine.",
            "fix `profile` on that side, or run `aws configure --profile`.",
        ) from error
    return made


class StrictParser(botocore.parsers.JSONParser):
    """botocore's own; a body of another form is an error of botocore's, and not one of Python's."""

    def parse(self, response: Any, shape: Any) -> Any:
        """As ever; ResponseParserError, which quotes nothing, for what is no JSON object."""
        try:
            return super().parse(response, shape)
        except (ValueError, TypeError, AttributeError) as error:
            raise botocore.parsers.ResponseParserError(type(error).__name__) from None


def core_with(parser: type[StrictParser]) -> BotocoreSession:
    """A botocore session whose clients parse JSON answers with *parser*."""
    core = botocore.session.Session()
    core.register_component("response_parser_factory", _Parsers(parser))
    return core


class _Parsers(botocore.parsers.ResponseParserFactory):
    def __init__(self, parser: type[StrictParser]) -> None:
        super().__init__()
        self._parser = parser
        self._told: dict[str, Any] = {}

    def set_parser_defaults(self, **kwargs: Any) -> None:
        """Keep what parsers are made with, such as a parser of times."""
        self._told |= kwargs
        super().set_parser_defaults(**kwargs)

    def create_parser(self, protocol_name: str) -> botocore.parsers.ResponseParser:
        if protocol_name == "json":
            return self._parser(**self._told)
        return super().create_parser(protocol_name)


def shared_loader() -> Loader:
    """Botocore's loader of service models, one for all sessions: each its own costs 10 MB and 0.1 s."""
    return _loader(os.environ.get("AWS_DATA_PATH"))


@functools.cache
def _loader(data_path: str | None) -> Loader:
    return botocore.loaders.create_loader(data_path)


class _How(TypedDict, total=False):
    region: str | None
    core: BotocoreSession | None
    shared: bool


@overload
def client(
    side: Side, service: Literal["application-autoscaling"], **how: Unpack[_How]
) -> ApplicationAutoScalingClient: ...
@overload
def client(side: Side, service: Literal["cloudformation"], **how: Unpack[_How]) -> CloudFormationClient: ...
@overload
def client(side: Side, service: Literal["cloudwatch"], **how: Unpack[_How]) -> CloudWatchClient: ...
@overload
def client(side: Side, service: Literal["dynamodb"], **how: Unpack[_How]) -> DynamoDBClient: ...
@overload
def client(side: Side, service: Literal["dynamodbstreams"], **how: Unpack[_How]) -> DynamoDBStreamsClient: ...
@overload
def client(side: Side, service: Literal["iam"], **how: Unpack[_How]) -> IAMClient: ...
@overload
def client(side: Side, service: Literal["kms"], **how: Unpack[_How]) -> KMSClient: ...
@overload
def client(side: Side, service: Literal["lambda"], **how: Unpack[_How]) -> LambdaClient: ...
@overload
def client(side: Side, service: Literal["s3"], **how: Unpack[_How]) -> S3Client: ...
@overload
def client(side: Side, service: Literal["sns"], **how: Unpack[_How]) -> SNSClient: ...
@overload
def client(side: Side, service: Literal["sqs"], **how: Unpack[_How]) -> SQSClient: ...
@overload
def client(side: Side, service: Literal["ssm"], **how: Unpack[_How]) -> SSMClient: ...
@overload
def client(side: Side, service: Literal["sts"], **how: Unpack[_How]) -> STSClient: ...
@overload
def client(side: Side, service: ServiceName, **how: Unpack[_How]) -> BaseClient: ...
def client(
    side: Side,
    service: ServiceName,
    *,
    region: str | None = None,
    core: BotocoreSession | None = None,
    shared: bool = True,
) -> BaseClient:
    """
    A client of *service* for one side, with our retries and time-outs.

    Args:
        side: As configured.
        service: As boto3 names it.
        region: Another one than the side's.
        core: A botocore session to build on, with components of its own.
        shared: The same one for the same question: a client takes 10 ms to make, and may be used by
            threads. False for one whose events are somebody's own.

    Raises:
        ConfigurationError: No such profile, or no region is configured anywhere.
        AccessError: Credentials are configured, and cannot be had.
    """
    if core is not None or not shared:
        return _new_client(side, service, region, core)
    ambient = tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_")))
    return _shared_client(side, service, region, ambient)


@functools.lru_cache(maxsize=64)
def _shared_client(
    side: Side,
    service: ServiceName,
    region: str | None,
    ambient: tuple[tuple[str, str], ...],  # of the environment, since botocore reads it
) -> BaseClient:
    del ambient
    return _new_client(side, service, region, None)


def _new_client(
    side: Side, service: ServiceName, region: str | None, core: BotocoreSession | None
) -> BaseClient:
    made = session(side, core=core)
    found = credentials.load(made)
    try:
        new = made.client(service, region_name=region, endpoint_url=side.endpoint_url, config=_BOTO)
    except botocore.exceptions.NoRegionError as error:
        raise ConfigurationError(
            "No AWS region is configured.",
            "set the `region` of both sides (or --source-region, --target-region), or AWS_DEFAULT_REGION.",
        ) from error
    except (ValueError, botocore.exceptions.BotoCoreError) as error:
        raise ConfigurationError(
            f"No client for {service}: {error}",
            "fix `region` or `endpoint_url` of source and target.",
        ) from error
    if found is not None:
        credentials.need(new, found)
    if service == "dynamodb":
        # Who brings a parser of its own (`wire`) looks at the bodies itself.
        answers.guard(new, botocore.parsers.ResponseParserError, bodies=core is None)
        new.meta.events.register("after-call.dynamodb.DescribeTable", _keep_as_it_came)
    return new


AS_IT_CAME: Final = "TableAsItCame"
"""In the metadata of each answer to DescribeTable: the table as it came over the wire, as JSON."""


def _keep_as_it_came(http_response: Any, parsed: dict[str, Any], **_: Any) -> None:
    """Keep the answer's text: botocore drops every member that it does not know, and settings with it."""
    if "Table" in parsed and "ResponseMetadata" in parsed:
        parsed["ResponseMetadata"][AS_IT_CAME] = http_response.content


def is_emulator(some_client: BaseClient) -> bool:
    """Whether a client talks to a host that is known to be an emulator's; see `ddbverify.tables.hosts`."""
    return hosts.is_emulator(some_client.meta.endpoint_url)


_NO_ANSWER: Final = (KeyError, ValueError, TypeError, AttributeError)
"""What botocore, or a look into what it made of it, raises on an answer of another form."""


def caller(side: Side, *, region: str | None = None) -> str | None:
    """
    Whose credentials these are: an ARN.

    ``None`` where it cannot be known. It informs and decides nothing, and an emulator may have no STS.
    """
    try:
        sts = client(side, "sts", region=region or side.region or "us-east-1")
        with translated("say whose credentials these are"):
            return str(sts.get_caller_identity()["Arn"])
    except (EngineError, *_NO_ANSWER):
        return None
