"""What ``[stack]`` of ``migration.toml`` makes of each template's parameters. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ddbverify.config import Config, Pair

Parameters = Mapping[str, str | int]

_ROLE_NAMES: Final = "replicator-"
"""What CloudFormation's names of roles begin with: the stack's own name."""


def of_base(config: Config) -> Parameters:
    """Keys of the state table and the bucket."""
    stack = config.stack
    return {"TableKeyArn": stack.table_key or "", "BucketKeyArn": stack.bucket_key or ""}


def of_capture(config: Config, pair: Pair) -> Parameters:
    """Role, VPC, keys, log and memory of the forwarder."""
    return {
        **_role(config, pair, "forwarder"),
        **_function(config),
        "MemorySize": config.stack.forwarder_memory,
    }


def of_target(config: Config, pair: Pair) -> Parameters:
    """Role and key of what stands beside the target, and which roles of the other account it trusts."""
    stack = config.stack
    return {
        **_role(config, pair, "writer"),
        "PermissionsBoundary": stack.writer_boundary or "",  # a policy of the role's own account
        "ReaderRoleName": _role_name(config, pair, "reader"),
        "TableKeyArn": stack.ledger_key or "",
        "SourceRolePath": stack.role_path,
        "SourceRoleNames": f"{stack.role_prefix or _ROLE_NAMES}*",
    }


def of_apply(config: Config, pair: Pair) -> Parameters:
    """Role, VPC, keys, log, memory and concurrency of the consumer."""
    return {
        **_role(config, pair, "consumer"),
        **_function(config),
        "LedgerKeyArn": config.stack.ledger_key or "",
        "MemorySize": config.stack.consumer_memory,
        "MaximumConcurrency": config.stack.concurrency,
    }


def of_audit(config: Config, pair: Pair) -> Parameters:
    """Roles, VPC, keys, log of the auditor, and of what calls it."""
    return {
        **_role(config, pair, "auditor"),
        "ScheduleRoleName": _role_name(config, pair, "schedule"),
        **_function(config),
        "LedgerKeyArn": config.stack.ledger_key or "",
    }


def of_verify(config: Config) -> Parameters:
    """Roles, keys and log of the build that verifies, and of what starts it; one for the whole migration."""
    stack, prefix = config.stack, config.stack.role_prefix
    begin = None if prefix is None else f"{prefix}{config.name}"
    return {
        "PermissionsBoundary": stack.permissions_boundary or "",
        "RolePath": stack.role_path,
        "RoleName": "" if begin is None else f"{begin}-verifier",
        "ScheduleRoleName": "" if begin is None else f"{begin}-verify",
        "BucketKeyArn": stack.bucket_key or "",
        "LogKeyArn": stack.log_key or "",
        "LogRetentionDays": stack.log_retention,
    }


def role_resources(config: Config) -> str:
    """What the ARNs of all roles of the stacks end in, with a star."""
    return f"role{config.stack.role_path}{config.stack.role_prefix or _ROLE_NAMES}*"


def _role(config: Config, pair: Pair, function: str) -> Parameters:
    return {
        "PermissionsBoundary": config.stack.permissions_boundary or "",
        "RolePath": config.stack.role_path,
        "RoleName": _role_name(config, pair, function),
    }


def _role_name(config: Config, pair: Pair, function: str) -> str:
    prefix = config.stack.role_prefix
    return "" if prefix is None else f"{prefix}{config.name}-{pair.id}-{function}"


def _function(config: Config) -> Parameters:
    stack = config.stack
    return {
        "SubnetIds": ",".join(stack.subnets),
        "SecurityGroupIds": ",".join(stack.security_groups),
        "QueueKeyArn": stack.queue_key or "",
        "TableKeyArn": stack.table_key or "",
        "LogKeyArn": stack.log_key or "",
        "LogRetentionDays": stack.log_retention,
    }
