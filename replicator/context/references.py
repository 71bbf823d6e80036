"""
Whose the things are that the settings name by ARN, held against whose credentials each side has.

Requests go by name: credentials of another account would reach a table of the same name there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ddbverify.config import Config
from ddbverify.errors import AccessError, ConfigurationError
from ddbverify.names import table_name
from ddbverify.tables import aws
from ddbverify.tables.references import Arn, arn_at, require_named, require_stream_of

if TYPE_CHECKING:
    from mypy_boto3_sts import STSClient


def identity_of(sts: STSClient, which: str) -> str:
    """
    ARN of the identity whose credentials a side has.

    Args:
        which: ``source`` or ``target``.

    Raises:
        AccessError: There are no credentials, or they have ended.
    """
    try:
        with aws.translated(f"ask who we are on the {which}'s side"):
            return str(sts.get_caller_identity()["Arn"])
    except AccessError as error:
        raise AccessError(
            error.message, f"set `profile` under [{which}], or log in (aws sso login)."
        ) from error


def named_by_arn(config: Config, which: str) -> tuple[str, ...]:
    """The tables of a side that the settings name by ARN."""
    names = (getattr(pair, which) for pair in config.tables)
    return tuple(name for name in names if name.startswith("arn:"))


def require_own(arns: tuple[str, ...], which: str, identity: str, region: str) -> None:
    """
    Refuse tables that are not of the account, region and partition that a side's requests reach.

    Args:
        identity: As `identity_of` answers.

    Raises:
        ConfigurationError: With the ARN that is of somebody else.
    """
    for arn in arns:
        ours = arn_at(identity, service="dynamodb", region=region, resource=f"table/{table_name(arn)}")
        require_named(arn, ours, place=f"[[tables]] {which}")


def bound_stream(recorded: Mapping[str, Any], source: str) -> str:
    """
    ARN of the stream that a pair is bound to.

    Args:
        recorded: The fact of the state table that has it.
        source: ARN of the pair's source, as AWS answers it.

    Raises:
        ConfigurationError: It is the stream of another table.
    """
    stream = str(recorded["stream_arn"])
    require_stream_of(stream, source, place="the stream that the state table names, of")
    return stream


def parameter_of(pointer: str) -> str:
    """The parameter's name in ``[cutover] pointer``, which may give its ARN."""
    named = pointer.removeprefix("ssm:")
    return named.partition(":parameter")[2] if named.startswith("arn:") else named


def require_own_pointer(pointer: str | None, identity: str, region: str) -> None:
    """
    Refuse a parameter that is not of the account, region and partition that the source's requests reach.

    Raises:
        ConfigurationError: It is of somebody else.
    """
    if names_arn(pointer):
        named = str(pointer).removeprefix("ssm:")
        ours = arn_at(identity, service="ssm", region=region, resource=f"parameter{parameter_of(named)}")
        require_named(named, ours, place="[cutover] pointer")


def names_arn(pointer: str | None) -> bool:
    """Whether ``[cutover] pointer`` gives the parameter's ARN, and not only its name."""
    return pointer is not None and pointer.startswith("ssm:arn:")


def require_alarm_topic(topic: str | None, identity: str, region: str) -> None:
    """
    Refuse a topic that CloudWatch's alarms of the source's side cannot reach; its account may be another.

    Raises:
        ConfigurationError: It is of another region or partition.
    """
    named, caller = Arn.parse(topic or ""), Arn.parse(identity)
    if named is None or caller is None:
        return
    if (named.partition, named.region) != (caller.partition, region):
        raise ConfigurationError(
            f"[replication] alarm_topic = {topic!r} is in {named.region} ({named.partition}); the alarms are "
            f"made in {region} ({caller.partition}).",
            "name a topic of the source's region.",
        )
