"""Settings of source and target that a migration meets later: replicas, time to live, protection. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ddbverify.words import page
from replicator.aws.policies import LIMIT_BYTES, Policy, size_of
from replicator.context.tables import TableFacts
from replicator.doctor.findings import Finding, not_checked, ok, problem, warning
from replicator.doctor.looking import Known, Looked, Unknown, judged


def is_global(table: TableFacts) -> bool:
    """Whether a table has replicas in other regions."""
    return any(one.get("RegionName") != table.region for one in table.description.get("Replicas") or ())


def status(table: TableFacts) -> Iterator[Finding]:
    """Whether AWS takes a backup of a table, and a change of its stream."""
    if table.status != "ACTIVE":
        yield problem(
            "status",
            table.name,
            f"the table is {table.status}",
            "wait until it is ACTIVE; a table whose key cannot be used does not become so by itself.",
        )


def replicas(table: TableFacts, role: str) -> Iterator[Finding]:
    """
    What a global table means for a cutover.

    Args:
        role: ``source`` or ``target``.
    """
    if not is_global(table):
        yield ok("global-table", table.name, f"the {role} is a table of one region")
        return
    regions = sorted(str(one.get("RegionName")) for one in table.description["Replicas"])
    yield warning(
        "global-table",
        table.name,
        f"the {role} is a global table ({', '.join(regions)}): the fence is in one replica's policy, and "
        "what is written to another replica comes through it",
        f"let nobody write to the other replicas before the cutover (T31 in {page('aws.md')}).",
    )


def time_to_live(table: TableFacts, role: str, attribute: Looked[str | None]) -> Iterator[Finding]:
    """Items that a table removes by itself: of a source that is replicated, in a target it is not to be."""

    def judge(found: str | None) -> Iterator[Finding]:
        if found is None:
            yield ok("time-to-live", table.name, f"time to live is off in the {role}")
        elif role == "source":
            yield warning(
                "time-to-live",
                table.name,
                f"time to live is on (attribute {found}): its removals are replicated, and a target that is "
                "made has it off",
                "turn it on in the target behind the cutover, and not before.",
            )
        else:
            yield problem(
                "time-to-live",
                table.name,
                f"time to live is on in the target (attribute {found}): it would remove items that the "
                "source still has, while it is filled and followed",
                "turn it off until the cutover is done.",
            )

    yield from judged("time-to-live", table.name, attribute, judge)


def policy(table: TableFacts, role: str, found: Looked[Policy | None]) -> Iterator[Finding]:
    """A table's own policy: what it holds is nobody's business here, that it is there is."""

    def judge(held: Policy | None) -> Iterator[Finding]:
        if held is None:
            yield ok("policy", table.name, f"the {role} has no resource policy")
            return
        size = size_of(held)
        denies = any(one.get("Effect") == "Deny" for one in held["Statement"])
        says = f"a resource policy of {size:,} of {LIMIT_BYTES:,} bytes"
        if denies:
            yield warning(
                "policy",
                table.name,
                f"the {role} has {says} with a Deny in it, which holds against you and the functions, too",
                "make sure that it does not name you, the roles `replicator-*` or an action in "
                f"{page('permissions.md')}.",
            )
        else:
            yield ok("policy", table.name, f"the {role} has {says}")

    yield from judged("policy", table.name, found, judge)


def lacking(
    source: TableFacts,
    target_name: str,
    *,
    staged: bool,
    recovery: Looked[bool],
    held: Looked[Policy | None],
    attribute: Looked[str | None],
) -> Iterator[Finding]:
    """
    What a target that `restore` makes will not have, and the source has (docs/aws.md T15).

    Args:
        staged: The target is made empty and loaded, and not restored from a backup.
        recovery: Whether point-in-time recovery is on in the source.
        held: The source's policy.
        attribute: Of its time to live.
    """
    unknown = [one for one in (recovery, held, attribute) if isinstance(one, Unknown)]
    has = []
    if isinstance(recovery, Known) and recovery.value:
        has.append("point-in-time recovery")
    if source.description.get("DeletionProtectionEnabled"):
        has.append("deletion protection")
    if isinstance(held, Known) and held.value is not None:
        has.append("its resource policy")
    if isinstance(attribute, Known) and attribute.value is not None:
        has.append("time to live")
    table_class = (source.description.get("TableClassSummary") or {}).get("TableClass", "STANDARD")
    if staged and table_class != "STANDARD":
        has.append(f"the table class {table_class}")
    if staged and (source.description.get("SSEDescription") or {}).get("SSEType") == "KMS":
        has.append("encryption with your key of KMS")
    if has:
        yield warning(
            "target-lacks",
            target_name,
            f"`restore` makes this table without {', '.join(has)} of {source.name}; tags, alarms and "
            "autoscaling do not come along either",
            "set them in the target before the cutover (`ddbverify run` compares them and names what "
            "differs), or make the table yourself, empty, before `restore`.",
        )
    if unknown:
        yield not_checked(
            "target-lacks",
            target_name,
            f"what else it lacks is not known: {unknown[0].why}",
            unknown[0].hint,
        )
    elif not has:
        yield ok(
            "target-lacks",
            target_name,
            f"{source.name} has no recovery, protection, policy or time to live to set again",
        )
