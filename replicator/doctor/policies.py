"""
What an operator has to be permitted, read from docs/permissions.md, with this migration's names. Pure.

That page is the one list there is: what it prints is what is asked. A test holds its form, and a page that is
not there, or has another form, makes the check one that was not made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ddbverify.names import stack_name, state_table
from ddbverify.tables.references import Arn

_SOURCE, _TARGET = "111122223333", "444455556666"  # the accounts, as the page has them
_NAME: Final = re.compile(r"orders-2026|orders-v2|orders(?![-\w])")
WHERE_OTHERS_DEPLOY: Final = "The operator where others deploy"
"""The heading of what stands in the place of Deploy there."""

_OF_TARGET: Final = "On the target's side"  # a policy of it may name the source's backup
_BLOCK: Final = re.compile(r"```json\n(.*?)```", re.DOTALL)
_STREAM: Final = "2026-01-01T00:00:00.000"
_BACKUP: Final = "01489602797149-73d8d5bc"
_EXPORTS: Final = "shop-exports"
_IMPORTS: Final = "shop-imports"
_UUID: Final = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Statement:
    """
    One statement of the page.

    Args:
        section: Its heading.
        sid: Its name there.
        side: ``source`` or ``target``: whose identity needs it, and of whose account a star is.
        condition: What the request has to have, as IAM writes it.
    """

    section: str
    sid: str
    side: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    condition: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def statements(page: str) -> Iterator[Statement]:
    """
    Every statement of the verifier and of the operator, in the page's order.

    Raises:
        ValueError: The page has another form.
    """
    verifier = page.partition("## The verifier\n")[2].partition("\n## ")[0]
    first = _BLOCK.search(verifier)  # the others are of keys for evidence
    if first is None:
        raise ValueError("there is no policy of the verifier")
    yield from _of_block("The verifier", first[1], "")
    operator = page.partition("\n## The operator\n")[2].partition("\n## ")[0]
    sections = re.split(r"^### (.+)$", operator, flags=re.MULTILINE)[1:]
    if not sections:
        raise ValueError("there is no policy of the operator")
    for heading, text in zip(sections[::2], sections[1::2], strict=True):
        for found in _BLOCK.finditer(text):
            above = text[: found.start()].rstrip().rpartition("\n\n")[2]
            yield from _of_block(heading, found[1], "target" if above.startswith(_OF_TARGET) else "")
    small = _BLOCK.search(page.partition(f"\n## {WHERE_OTHERS_DEPLOY}\n")[2].partition("\n## ")[0])
    if small is None:
        raise ValueError("there is no policy of the operator where others deploy")
    yield from _of_block(WHERE_OTHERS_DEPLOY, small[1], "")


def _of_block(section: str, block: str, side: str) -> Iterator[Statement]:
    """
    The statements of one policy, each once for every side whose identity needs it.

    Args:
        side: Whose policy it is; empty: of each side what is in its account.
    """
    of_block = side or ("target" if _TARGET in block and _SOURCE not in block else "source")
    for one in json.loads(block)["Statement"]:
        resources = _listed(one["Resource"])
        by_side = {of_block: resources}
        if not side:
            both = _SOURCE in block and _TARGET in block
            by_side = {}
            for arn in resources:
                # What names no resource is asked on each side that the policy is about.
                for of in ("source", "target") if arn == "*" and both else (_side_of(arn, of_block),):
                    by_side.setdefault(of, []).append(arn)
        for whose, arns in by_side.items():
            condition = one.get("Condition") or {}
            actions = tuple(_listed(one["Action"]))
            yield Statement(section, one["Sid"], whose, actions, tuple(arns), condition)


def _side_of(arn: str, side: str) -> str:
    if _SOURCE in arn:
        return "source"
    return "target" if _TARGET in arn else side


_ROLES: Final = "role/replicator-*"


@dataclass(frozen=True, slots=True)
class Names:
    """
    What this migration's things are called, for the names of the page.

    Args:
        migration: Its name.
        pairs: Source, target and id of each.
        places: ``source`` and ``target`` -> partition, account, region.
        parameters: What the pointer is kept in.
        topic: ARN of the one that is told of a cutover; empty where none is.
        roles: What the ARNs of the stacks' roles end in, with a star.
        exports: Where exports lie, ``bucket/prefix`` each; the first is where one is exported to, if any is.
        imports: Where targets are imported from, ``bucket/prefix``; empty where none is.
    """

    migration: str
    pairs: tuple[tuple[str, str, str], ...]
    places: Mapping[str, tuple[str, str, str]]
    parameters: tuple[str, ...]
    topic: str = ""
    roles: str = _ROLES
    exports: tuple[str, ...] = ()
    imports: str = ""


def resources_of(statement: Statement, names: Names) -> tuple[str, ...]:
    """
    The ARNs that a statement is about here; where the page has a star, one that will have such a name.

    A simulation compares texts, so that a star in what it is asked would match a star only.
    """
    found: dict[str, None] = {}
    for arn in statement.resources:
        if (of_exports := arn.partition(f":{_EXPORTS}"))[1]:
            first = statement.sid in ("WriteTheExport", "FindTheBucket")
            for place in names.exports[:1] if first else names.exports:
                bucket, _, prefix = f"{place}/".partition("/")
                objects = f"/{prefix}AWSDynamoDB/name" if of_exports[2] else ""
                partition = names.places[statement.side][0]
                found[str(Arn(partition, "s3", "", "", f"{bucket}{objects}"))] = None
            continue
        if (of_imports := arn.partition(f":{_IMPORTS}"))[1]:
            bucket, _, prefix = f"{names.imports}/".partition("/")
            objects = f"/{prefix}{names.migration}/name" if of_imports[2] else ""
            found[str(Arn(names.places[statement.side][0], "s3", "", "", f"{bucket}{objects}"))] = None
            continue
        for pair in names.pairs:
            for parameter in names.parameters or ("/not/set",):
                found[_named(arn, statement.side, names, pair, parameter)] = None
    return tuple(found)


def _named(
    arn: str,
    side: str,
    names: Names,
    pair: tuple[str, str, str],
    parameter: str,
    *,
    stars: bool = False,
) -> str:
    found = Arn.parse(arn)
    if found is None:
        return arn  # a star
    if found.service == "sns":
        return names.topic or arn  # of whatever region and account
    of = _side_of(arn, side)
    partition, account, region = names.places[of]
    source, target, pair_id = pair
    made = {"orders-2026": names.migration, "orders-v2": target, "orders": source}
    if found.resource == _ROLES:
        resource = names.roles
        if not stars:
            resource = resource.replace("*", "name") if resource != _ROLES else resource
            resource = _without_stars(resource, names.migration, pair_id, of)
    elif found.resource.startswith("parameter/"):
        resource = f"parameter/{parameter.removeprefix('/')}"
    else:
        resource = _NAME.sub(lambda match: made[match[0]], found.resource)
        resource = resource if stars else _without_stars(resource, names.migration, pair_id, of)
    region, account = region if found.region else "", account if found.account else ""
    return str(Arn(partition, found.service, region, account, resource))


def granted(statement: Statement, names: Names) -> dict[str, Any]:
    """A statement as a policy of this migration has it: its names, and the page's stars."""
    resources = {
        _named(arn, statement.side, names, pair, parameter, stars=True): None
        for arn in statement.resources
        for pair in names.pairs
        for parameter in names.parameters or ("/not/set",)
    }
    conditions = {
        operator: {
            key: [
                _named(str(one), statement.side, names, names.pairs[0], "", stars=True)
                for one in _listed(values)
            ]
            for key, values in block.items()
        }
        for operator, block in statement.condition.items()
    }
    made = {"Effect": "Allow", "Action": list(statement.actions), "Resource": list(resources)}
    return made | ({"Condition": conditions} if conditions else {})


def _without_stars(resource: str, migration: str, pair_id: str, side: str) -> str:
    capture, target = stack_name(migration, "capture", pair_id), stack_name(migration, "target", pair_id)
    ours = stack_name(migration, "base") if side == "source" else target
    table = state_table(migration) if side == "source" else f"replicator-{migration}-{pair_id}-ledger-0"
    known = {
        f"table/replicator-{migration}-*-staging": f"table/replicator-{migration}-{pair_id}-staging",
        f"table/replicator-{migration}-*": f"table/{table}",
        f"stack/replicator-{migration}-*/*": f"stack/{ours}/{_UUID}",
        f"log-group:/replicator/{migration}/*": f"log-group:/replicator/{migration}/{pair_id}/forwarder",
    }
    if resource in known:
        return known[resource]
    resource = re.sub(r"stream/\*$", f"stream/{_STREAM}", resource)
    resource = re.sub(r"backup/\*$", f"backup/{_BACKUP}", resource)
    resource = re.sub(r"(event-source-mapping:|key/)\*$", rf"\g<1>{_UUID}", resource)
    resource = re.sub(rf"replicator-({re.escape(migration)}-)?\*", f"{capture}-Name", resource)
    return resource.replace("*", "name")


def context_of(statement: Statement, names: Names) -> dict[str, str]:
    """What a request has that conditions ask for, the statement's own and its region: key -> value."""
    return {"aws:RequestedRegion": names.places[statement.side][2]} | {
        key: _named(str(value), statement.side, names, names.pairs[0], "")
        for block in statement.condition.values()
        for key, values in block.items()
        for value in _listed(values)[:1]
    }


def turned(all_of_page: Iterable[Statement]) -> Iterator[Statement]:
    """
    What a way back needs where source and target have changed places, beside what it has of the way over.

    As the page says it in words: on each side what the other one has.
    """
    for one in all_of_page:
        if (one.section, one.sid) in _TURNED or (one.section, "") in _TURNED:
            yield replace(one, section=f"{one.section}, way back")


_TURNED: Final = {
    ("Every command", ""),
    ("Deploy", ""),
    ("Cutover", "Canary"),
    ("Cutover", "Fence"),
    ("Cutover", "ConsumerSwitch"),
    ("Repair", "WriteTargetAndLedger"),
    ("The verifier", "State"),
    ("The verifier", "Queue"),
    ("The verifier", "Mappings"),
}


@dataclass(frozen=True, slots=True)
class Needs:
    """
    What of the page a migration needs, by its settings.

    Args:
        crosses_accounts: Source and target are of two.
        stages: A pair is loaded from a staging table.
        rekeys: A pair has keys of its own.
        backfill: As ``[replication]`` has it.
        exports: A pair is to be exported.
        imports: A target is to be imported.
        pointer: A cutover is planned.
        fences: It fences by policies.
        closes_targets: The targets are fenced, too.
        way_back: One is asked for.
        dashboards: CloudWatch is to have some.
        notices: A topic is told of a cutover.
        worker: Workers carry it, and there are no functions.
        deployed: Others deploy the stacks.
    """

    crosses_accounts: bool
    stages: bool
    rekeys: bool
    backfill: str
    exports: bool
    pointer: bool
    fences: bool
    closes_targets: bool
    way_back: bool
    dashboards: bool
    notices: bool
    worker: bool = False
    deployed: bool = False
    imports: bool = False


_BACKUPS: Final = {
    "dynamodb:CreateBackup",
    "dynamodb:DescribeBackup",
    "dynamodb:ListBackups",
    "dynamodb:RestoreTableFromBackup",
}

_ONLY_IF: Final[Mapping[tuple[str, str], Callable[[Needs], bool]]] = {
    ("Plan", ""): lambda _: False,  # they only read, and say themselves what they may not
    ("Doctor", ""): lambda _: False,
    ("The target's fence", ""): lambda needs: needs.closes_targets,
    ("Deploy", ""): lambda needs: not needs.deployed,
    (WHERE_OTHERS_DEPLOY, ""): lambda needs: needs.deployed,
    ("Deploy", "Dashboards"): lambda needs: needs.dashboards and not needs.worker,
    **{
        of_functions: lambda needs: not needs.worker
        for of_functions in (
            ("The verifier", "Mappings"),
            ("Every command", "LookAtTheConsumer"),
            ("Deploy", "Functions"),
            ("Deploy", "MakeMappings"),
            ("Deploy", "Mappings"),
            ("Deploy", "HandRolesToLambda"),
            ("Deploy", "Logs"),
            ("Deploy", "FindLogs"),
            ("Cutover", "ConsumerSwitch"),
            (WHERE_OTHERS_DEPLOY, "LookAtFunctions"),
            (WHERE_OTHERS_DEPLOY, "SwitchMappings"),
        )
    },
    ("Cutover", "Notify"): lambda needs: needs.notices,
    ("Cutover", ""): lambda needs: needs.pointer,
    ("Cutover", "Fence"): lambda needs: needs.fences,
    ("The way back", ""): lambda needs: needs.way_back,
    ("Phase 1", "Export"): lambda needs: needs.exports,
    ("Phase 1", "AwaitTheExport"): lambda needs: needs.backfill == "export",
    ("Phase 1", "WriteTheExport"): lambda needs: needs.exports,
    ("Phase 1", "FindTheBucket"): lambda needs: needs.exports,
    ("Phase 1", "ReadTheExport"): lambda needs: needs.backfill == "export",
    ("Phase 2", "StagingTable"): lambda needs: needs.stages,
    **{
        ("Phase 2", of_imports): lambda needs: needs.imports
        for of_imports in (
            "Import",
            "AwaitTheImport",
            "FindTheImport",
            "FilesOfTheImport",
            "ListTheFiles",
            "LogOfTheImport",
        )
    },
    ("Phase 2", "LedgerOfReKeyedPairs"): lambda needs: needs.rekeys,
    ("Down", "StagingTable"): lambda needs: needs.stages,
}
"""Section and sid ("": the whole section) -> when it is needed; whatever is not named here always is."""


def needed(all_of_page: Iterable[Statement], needs: Needs) -> Iterator[Statement]:
    """The statements that a migration with these settings needs."""
    for one in all_of_page:
        whole, single = _ONLY_IF.get((one.section, "")), _ONLY_IF.get((one.section, one.sid))
        if (whole is not None and not whole(needs)) or (single is not None and not single(needs)):
            continue
        if one.sid == "FromTheBackup" and needs.crosses_accounts and one.side == "target":
            continue  # a backup is not restored into another account
        is_roles = (one.section, one.sid) == ("Deploy", "Roles")
        if is_roles and (needs.worker or (one.side == "target" and not needs.crosses_accounts)):
            continue
        actions = one.actions
        if needs.backfill != "backup":
            actions = tuple(action for action in actions if action not in _BACKUPS)
        if actions:
            yield replace(one, actions=actions)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]
