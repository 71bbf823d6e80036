"""
The edge: everything is asked that the checks want to know, and handed to them. Nothing is changed.

A pair whose tables cannot be described has that one finding; what was refused is told by its own check.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ddbverify.config import Pair
from ddbverify.errors import DdbVerifyError, EngineError
from ddbverify.names import FENCE_SIDS, stack_name, table_name
from replicator.aws import readers
from replicator.aws.policies import Policies, Policy
from replicator.aws.policy_deny import without
from replicator.backfill import boundary, preflight
from replicator.backfill.plan import Plan
from replicator.context import tables
from replicator.context.context import Context
from replicator.context.tables import TableFacts
from replicator.doctor import leftovers, settings, streams
from replicator.doctor.findings import Finding, not_checked, ok, problem
from replicator.doctor.leftovers import Seen, Stack
from replicator.doctor.looking import Known, Looked, look
from replicator.stack import deployed, stacks

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_dynamodb import DynamoDBClient

    from replicator.stack.stacks import Template


@dataclass(slots=True)
class Examined:
    """
    What was found, and what later checks need of it.

    Args:
        plans: Of the pairs that `up` would begin.
        source_of: Pair -> its source, of all that exist.
        sources: ARN -> source, each once.
        targets: ARN -> target, of those that exist.
        made: The pairs whose target is to be made.
        ttl: ARN -> attribute of a table's time to live.
        with_policy: ARNs of tables that have a policy of their own, or may have.
    """

    findings: list[Finding] = field(default_factory=list)
    plans: dict[Pair, Plan] = field(default_factory=dict)
    source_of: dict[Pair, TableFacts] = field(default_factory=dict)
    sources: dict[str, TableFacts] = field(default_factory=dict)
    targets: dict[str, TableFacts] = field(default_factory=dict)
    made: list[Pair] = field(default_factory=list)
    ttl: dict[str, Looked[str | None]] = field(default_factory=dict)
    with_policy: set[str] = field(default_factory=set)


def tried(check: str, about: str, what: str, action: Callable[[], None]) -> Iterator[Finding]:
    """
    A step that refuses by itself, as a check: its refusal is a problem, AWS's is not checked.

    Args:
        what: What is so where nothing was refused.
    """
    try:
        action()
    except EngineError as error:
        yield not_checked(check, about, error.message, error.hint)
    except DdbVerifyError as error:
        yield problem(check, about, error.message, error.hint)
    else:
        yield ok(check, about, what)


def examine(context: Context) -> Examined:
    """
    Look at the tables of every pair, and at what is there of the migration already.

    Raises:
        ConfigurationError: The settings name a table by ARN that is somebody else's.
        AccessError: There are no credentials, or they have ended: nothing could be looked at.
    """
    found, name = Examined(), context.config.name
    context.need_own_tables()
    who = f"{context.source_identity} reads and deploys at the source"
    if context.target_identity != context.source_identity:
        who += f", {context.target_identity} at the target"
    found.findings.append(ok("identity", name, who))
    found.findings += tried(
        "settings",
        name,
        "[replication] can be kept",
        lambda: preflight.need_settings(context),
    )
    state = context.state_table
    has_state = look(f"describe the table {state}", lambda: tables.find(context.source, state) is not None)
    found.findings += leftovers.leftovers(name, list(_stacks(context)), state, has_state)
    for pair in context.config.tables:
        _pair(context, pair, has_state, found)
    for table in found.sources.values():
        found.findings += _source(context, table, found)
    for table in found.targets.values():
        found.findings += _target(context, table, found)
    return found


# --- what is there of the migration -------------------------------------------------------


def _stacks(context: Context) -> Iterator[Stack]:
    config, source = context.config, context.source_client("cloudformation")
    yield _stack(source, stack_name(config.name, "base"), "base")
    if config.verification.every is not None:
        yield _stack(source, stack_name(config.name, "verify"), "verify")
    for pair in config.tables:
        captures: Template = "queue" if config.replicated.worker else "capture"
        yield _stack(source, stack_name(config.name, "capture", pair.id), captures)
        target = context.target_client("cloudformation")
        yield _stack(target, stack_name(config.name, "target", pair.id), "target")
        yield _stack(source, stack_name(config.name, "apply", pair.id), "apply")
        if config.replicated.scheduled_audit:
            yield _stack(source, stack_name(config.name, "audit", pair.id), "audit")


def _stack(cloudformation: CloudFormationClient, name: str, template: Template) -> Stack:
    def ask() -> Seen | None:
        found = stacks.look(cloudformation, name)
        if found is None:
            return None
        tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags") or ()}
        outputs = {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs") or ()}
        return Seen(
            status=found["StackStatus"],
            migration=tags.get(stacks.TAG),
            is_protected=bool(found.get("EnableTerminationProtection")),
            version=outputs.get("TemplateVersion"),
            wanted=deployed.version(stacks.template_body(template)),
        )

    return name, look(f"describe the stack {name}", ask)


# --- pairs --------------------------------------------------------------------------------


def _pair(context: Context, pair: Pair, has_state: Looked[bool], found: Examined) -> None:
    # Not known: then the pair asks the state table itself, and is told why that is refused.
    begun = not isinstance(has_state, Known) or has_state.value

    def ask() -> None:
        source = context.source_table(pair)
        found.sources[source.arn], found.source_of[pair] = source, source
        target = context.target_table(pair)
        if target is None:
            found.made.append(pair)
        else:
            found.targets[target.arn] = target
        found.plans[pair] = preflight.plan_of(context, pair, begun=begun)

    found.findings += tried("pair", str(pair), "`up` would begin with it", ask)


def _source(context: Context, source: TableFacts, found: Examined) -> Iterator[Finding]:
    config = context.config
    yield from settings.status(source)
    yield from streams.view(source)
    others = look(
        f"list the functions that read the stream of {source.name}",
        lambda: readers.look(context.source_client("lambda"), source, _our_mappings(context)),
    )
    forwarders = sum(one.arn == source.arn for one in found.source_of.values())
    canary = config.replicated.canary
    yield from streams.readers(source, others, forwarders=forwarders, canary=canary)
    held = _policy(context.source, source, found)
    yield from settings.policy(source, "source", held)
    yield from settings.replicas(source, "source")
    attribute = found.ttl[source.arn] = _ttl(context.source, source)
    yield from settings.time_to_live(source, "source", attribute)
    for pair in found.made:
        if found.source_of[pair].arn == source.arn:
            account = context.target_identity.split(":")[4]
            yield from settings.lacking(
                source,
                table_name(pair.target),
                staged=pair.transform is not None
                or source.account != account
                or context.config.replicated.backfill in ("scan", "export"),
                recovery=_recovery(context, source),
                held=held,
                attribute=attribute,
            )


def _target(context: Context, target: TableFacts, found: Examined) -> Iterator[Finding]:
    yield from settings.status(target)
    yield from settings.policy(target, "target", _policy(context.target, target, found))
    yield from settings.replicas(target, "target")
    attribute = found.ttl[target.arn] = _ttl(context.target, target)
    yield from settings.time_to_live(target, "target", attribute)


def _our_mappings(context: Context) -> list[str]:
    """UUIDs of the forwarders that this migration has already; none before `up`."""
    if tables.find(context.source, context.state_table) is None:
        return []
    return [context.resources(pair).get("forwarder_mapping", "") for pair in context.config.tables]


def _policy(client: DynamoDBClient, table: TableFacts, found: Examined) -> Looked[Policy | None]:
    """A table's own policy, without what a fence of ours has put into it."""
    looked = look(
        f"read the resource policy of {table.name}",
        lambda: without(Policies(client).read(table.arn)[0], FENCE_SIDS),
    )
    if not isinstance(looked, Known) or looked.value is not None:
        found.with_policy.add(table.arn)
    return looked


def _ttl(client: DynamoDBClient, table: TableFacts) -> Looked[str | None]:
    def ask() -> str | None:
        answer = client.describe_time_to_live(TableName=table.name)["TimeToLiveDescription"]
        # One that is being turned off may still remove items.
        on = answer.get("TimeToLiveStatus") in ("ENABLED", "ENABLING", "DISABLING")
        return answer.get("AttributeName", "not named") if on else None

    return look(f"look at the time to live of {table.name}", ask)


def _recovery(context: Context, source: TableFacts) -> Looked[bool]:
    return look(
        f"look at the point-in-time recovery of {source.name}",
        lambda: boundary.restorable(context, source) is not None,
    )
