"""The verification that nobody has to remember: a schedule starts a build that runs `replicator verify`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from ddbverify.errors import ConfigurationError
from ddbverify.names import stack_name
from ddbverify.tables.aws import translated
from replicator.commands import taken
from replicator.commands.phases import place
from replicator.commands.project_packed import Project, pack
from replicator.commands.wanted import Wanted
from replicator.context.context import Context
from replicator.context.tables import TableFacts
from replicator.stack import settings, stacks

if TYPE_CHECKING:
    from replicator.commands.protection import OneStack

TEMPLATE: Final = "verify"

_KMS_KEY: Final = re.compile(r"kms:(arn:[a-z-]+:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+)")
_LONGEST_PARAMETER: Final = 4096
"""Bytes, of a stack: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html"""


def project(context: Context) -> Project | None:
    """
    What a build is to work on; ``None`` where no build is wanted.

    Raises:
        ConfigurationError: It is wanted, and no build could do it with these settings.
    """
    config = context.config
    if config.verification.every is None:
        return None
    if not _KMS_KEY.fullmatch(config.gate.signing_key):
        raise ConfigurationError(
            "[verification] every needs a key that a build can sign with, and a file is none.",
            'make one of KMS: [gate] signing_key = "kms:arn:aws:kms:REGION:ACCOUNT:key/ID", its ARN.',
        )
    findings_key = config.verification.findings_key or ""
    if findings_key.startswith("kms:") and not _KMS_KEY.fullmatch(findings_key):
        raise ConfigurationError(
            "[verification] every needs the ARN of findings_key, so that the build's role can name it.",
            'write "kms:arn:aws:kms:REGION:ACCOUNT:key/ID".',
        )
    if config.verification.engine == "spark":
        raise ConfigurationError(
            '[verification] every: a build has no Spark, and engine = "spark" wants one.',
            "leave every out, and let a job of your cluster run `replicator verify`.",
        )
    if config.source.profile or config.target.profile:
        raise ConfigurationError(
            "[verification] every: a build has no profiles, and [source] or [target] names one.",
            "take profile out, and set AWS_PROFILE where you run the commands.",
        )
    if config.stack.subnets:
        raise ConfigurationError(
            "[verification] every: the build is in no VPC, and [stack] subnets wants all of it in one.",
            "leave every out, and let a pipeline in your VPC run `replicator verify`.",
        )
    accounts = {one.split(":")[4] for one in (context.source_identity, context.target_identity)}
    if len(accounts) > 1:
        raise ConfigurationError(
            "[verification] every: the tables are of two accounts, and the build has a role of one.",
            "leave every out, and let a pipeline run `replicator verify` with credentials for both.",
        )
    return pack(config, context.config_path)


def deploy(context: Context, packed: Project | None, base: Mapping[str, str]) -> None:
    """
    Store the project and deploy what builds it; or remove that where it is not wanted any more.

    Args:
        packed: See `project`.
        base: Outputs of the base stack.

    Raises:
        EngineError: AWS refused.
    """
    if packed is None:
        if not taken.is_asked_for(context):
            remove(context, because=": [verification] every is not set")
        return
    with context.console.step("verification by schedule") as step:
        s3, bucket = context.source_client("s3"), base["BundleBucket"]
        with translated(f"store the project in the bucket {bucket}"):
            s3.put_object(Bucket=bucket, Key=packed.key, Body=packed.content)
        step.result = place(context, wanted(context, packed, base, _tables(context)), step)["Verifier"]


def stack_wanted(context: Context, packed: Project, base: Mapping[str, str]) -> Wanted | None:
    """The stack as `deploy` would make it; ``None`` as long as there is a target missing."""
    found = [context.target_table(pair) for pair in context.config.tables]
    return wanted(context, packed, base, _tables(context)) if all(found) else None


def wanted(context: Context, packed: Project, base: Mapping[str, str], tables: list[TableFacts]) -> Wanted:
    """
    The stack.

    Args:
        packed: What it builds.
        base: Outputs of the base stack.
        tables: Every source and target.

    Raises:
        ConfigurationError: There are more tables than a parameter of a stack can name.
    """
    config = context.config
    every = config.verification.every
    if every is None:
        raise AssertionError("nobody wants it")
    arns = sorted({one.arn for one in tables})
    parameters: dict[str, str | int] = {
        **settings.of_verify(config),
        "Migration": config.name,
        "TableArns": ",".join(arns),
        "StreamArns": ",".join(f"{arn}/stream/*" for arn in arns),
        "SigningKeyArn": _key(config.gate.signing_key),
        "FindingsKeyArn": _key(config.verification.findings_key or ""),
        "DataKeyArns": ",".join(_data_keys(context, tables)),
        "BundleBucket": base["BundleBucket"],
        "ProjectKey": packed.key,
        "EveryHours": int(every / 3600),
        "AlarmHours": 2 * int(every / 3600),
        "AlarmTopicArn": config.replicated.alarm_topic or "",
    }
    if any(len(str(value)) > _LONGEST_PARAMETER for value in parameters.values()):
        raise ConfigurationError(
            f"[verification] every: {len(arns)} tables are more than a parameter of a stack can name.",
            "leave every out, and let a pipeline run `replicator verify`.",
        )
    name = stack_name(config.name, TEMPLATE)
    text = {key: str(value) for key, value in parameters.items()}
    return Wanted(name, TEMPLATE, "source", text, stacks.template_body(TEMPLATE))


def stacks_of(context: Context) -> Iterator[OneStack]:
    """The stack, if it is there; it may have been wanted once."""
    client, name = context.source_client("cloudformation"), stack_name(context.config.name, TEMPLATE)
    if stacks.exists(client, name):
        yield client, name


def remove(context: Context, *, because: str = "") -> list[str]:
    """Remove the stack, if it is there, and say its name."""
    removed = []
    for client, name in stacks_of(context):
        with context.console.step(f"remove {name}{because}") as step:
            stacks.delete(client, name, progress=step.at)
        removed.append(name)
    return removed


def _tables(context: Context) -> list[TableFacts]:
    """Every source, and every target that there is."""
    pairs = context.config.tables
    found = (*map(context.source_table, pairs), *map(context.target_table, pairs))
    return [one for one in found if one is not None]


def _key(setting: str) -> str:
    matched = _KMS_KEY.fullmatch(setting)
    return matched[1] if matched else ""


def _data_keys(context: Context, tables: list[TableFacts]) -> list[str]:
    """Keys of KMS that the tables and the state table are encrypted with."""
    of_tables = {
        str((one.description.get("SSEDescription") or {}).get("KMSMasterKeyArn", "")) for one in tables
    }
    return sorted((of_tables | {context.config.stack.table_key or ""}) - {""})
