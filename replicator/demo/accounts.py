"""Whose tables they are: all of one account's, or of two, with the commands run from a third."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ddbverify.names import direction_name
from ddbverify.words import docs_folder
from replicator.demo.scene import Scene, Spot
from replicator.demo.stage import policy
from replicator.doctor import policies
from replicator.doctor.policies import Names, Needs
from replicator.embedded.aws import EmbeddedAws

SOURCE_REGION, TARGET_REGION = "eu-west-1", "eu-central-1"
SOURCE, TARGET = "shop", "shop-v2"
TARGET_ACCOUNT, TOOLS_ACCOUNT = "210987654321", "345678901234"
OPERATOR, VERIFIER = "migration-operator", "migration-verifier"
FENCER = "shop-fencer"  # of the command that fences: the shop's own, and none of the operator's
MIGRATION, POINTER, WRITERS = "demo", "/shop/table", "shop-writers"

_PROGRAMS: Final = ("replicator", "ddbverify")


def one(aws: EmbeddedAws, folder: Path) -> Scene:
    """Both tables in one account; the commands are run by its root."""
    del folder
    source = _spot(aws, SOURCE_REGION, SOURCE)
    target = _spot(aws, TARGET_REGION, TARGET)
    return Scene(source, target, dict.fromkeys(_PROGRAMS, aws.environment(SOURCE_REGION)), POINTER, WRITERS)


def two(aws: EmbeddedAws, folder: Path) -> Scene:
    """A table in each of two accounts, which a third one works on through roles: see `_through_roles`."""
    theirs, tools = aws.as_account(TARGET_ACCOUNT), aws.as_account(TOOLS_ACCOUNT)
    source = _spot(aws, SOURCE_REGION, SOURCE, "source", f"{SOURCE_REGION}, account {aws.account_id}")
    target = _spot(theirs, TARGET_REGION, TARGET, "target", f"{TARGET_REGION}, account {TARGET_ACCOUNT}")
    return _through_roles(source, target, tools, folder, _NEEDS)


def deployed(aws: EmbeddedAws, folder: Path) -> Scene:
    """Both tables in one account, and an operator there who may do nothing of IAM: others deploy."""
    source = _spot(aws, SOURCE_REGION, SOURCE, "source", SOURCE_REGION)
    target = _spot(aws, TARGET_REGION, TARGET, "target", TARGET_REGION)
    needs = replace(_NEEDS, crosses_accounts=False, way_back=False, deployed=True)
    return _through_roles(source, target, aws, folder, needs)


def _through_roles(source: Spot, target: Spot, tools: EmbeddedAws, folder: Path, needs: Needs) -> Scene:
    """
    The commands work through roles, which *tools* may assume.

    What the roles may is what docs/permissions.md says, and nothing else: of `ddbverify` the verifier's
    policy, of `replicator` all that this migration needs. So the page is tried, too.

    Args:
        folder: For the two files with profiles.
    """
    sides = {"source": source, "target": target}
    environments: dict[str, Mapping[str, str]] = {}
    for program, role in zip(_PROGRAMS, (OPERATOR, VERIFIER), strict=True):
        granted: dict[str, list[dict[str, Any]]] = {}
        for side, spot in sides.items():
            granted.setdefault(spot.account, []).extend(_granted(source, target, side, role, needs))
        for account, of in {spot.account: spot for spot in sides.values()}.items():
            _make_role(of, role, tools.account_id, [*granted[account], _for_the_emulator(role)])
        file = folder / f"{role}.config"
        file.write_text(
            "".join(
                _profile(spot, side, role) + _profile(spot, f"fence-{side}", FENCER)
                for side, spot in sides.items()
            ),
            encoding="utf-8",
        )
        environments[program] = tools.environment(SOURCE_REGION) | {"AWS_CONFIG_FILE": str(file)}
    for of in {spot.account: spot for spot in sides.values()}.values():
        _make_role(of, FENCER, tools.account_id, [_fence(of)])
    return Scene(source, target, environments, POINTER, WRITERS)


def _spot(aws: EmbeddedAws, region: str, name: str, profile: str = "", described: str = "") -> Spot:
    return Spot(aws.session(region), aws.account_id, region, name, profile, described)


def _profile(spot: Spot, name: str, role: str) -> str:
    """A profile that works on one account through its role; a session of it renews itself."""
    return (
        f"[profile {name}]\nrole_arn = arn:aws:iam::{spot.account}:role/{role}\n"
        f"credential_source = Environment\nregion = {spot.region}\n\n"
    )


def _make_role(spot: Spot, name: str, trusted: str, statements: Iterable[dict[str, Any]]) -> None:
    """A role that the account *trusted* may assume, with these statements as managed policies."""
    iam = spot.client("iam")
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{trusted}:root"},
        "Action": "sts:AssumeRole",
    }
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))
    for number, document in enumerate(_documents(statements)):
        made = iam.create_policy(PolicyName=f"{name}-{number}", PolicyDocument=document)
        iam.attach_role_policy(RoleName=name, PolicyArn=made["Policy"]["Arn"])


_NEEDS: Final = Needs(
    crosses_accounts=True,
    stages=True,
    rekeys=False,
    backfill="backup",
    exports=False,
    pointer=True,
    fences=False,
    closes_targets=False,
    way_back=True,
    dashboards=True,
    notices=False,
)


_EMULATOR: Final = {
    VERIFIER: (
        "dynamodb:DescribeStream",
        "dynamodb:GetRecords",
        "dynamodb:GetResourcePolicy",
        "dynamodb:GetShardIterator",
        "dynamodb:ListTagsOfResource",
        "lambda:ListEventSourceMappings",  # what it takes GetEventSourceMapping for
    ),
    OPERATOR: ("dynamodb:DescribeBackup", "dynamodb:RestoreTableFromBackup"),
}
"""By role: requests of which the emulator does not find the resource, and which it holds against a star."""


def _fence(spot: Spot) -> dict[str, Any]:
    """What the command of the demonstration's fence needs, which is no fence of the replicator's."""
    arn = f"arn:aws:iam::{spot.account}:role/{WRITERS}"
    return {"Effect": "Allow", "Action": ["iam:PutRolePolicy", "iam:DeleteRolePolicy"], "Resource": arn}


def _for_the_emulator(role: str) -> dict[str, Any]:
    actions = {*_EMULATOR[VERIFIER], *_EMULATOR[role]}  # a cutover verifies, too
    return {"Effect": "Allow", "Action": sorted(actions), "Resource": "*"}


def _granted(source: Spot, target: Spot, side: str, role: str, needs: Needs) -> Iterator[dict[str, Any]]:
    """The statements of docs/permissions.md that *role* needs in the account of one side."""
    folder = docs_folder()
    page = (folder / "permissions.md").read_text(encoding="utf-8") if folder else ""
    wanted = [
        one
        for one in policies.needed(policies.statements(page), needs)
        if role == OPERATOR or one.section == "The verifier"
    ]
    for cycle in range(3 if needs.way_back else 1):  # over, back, and over again, as the story goes
        names = _names(source, target, cycle)
        for one in wanted if cycle == 0 else policies.turned(wanted):
            theirs = one.side if cycle % 2 == 0 else {"source": "target", "target": "source"}[one.side]
            if theirs == side:
                yield policies.granted(one, names)


_MANAGED_POLICY_CHARACTERS: Final = 6144  # at most, blanks not counted; ten are attached to a role


def _documents(statements: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The statements in as few documents as AWS takes them in."""
    held: list[dict[str, Any]] = []
    for one in statements:
        if held and len("".join(policy(*held, one).split())) > _MANAGED_POLICY_CHARACTERS:
            yield policy(*held)
            held = []
        held.append(one)
    yield policy(*held)


def _names(source: Spot, target: Spot, cycle: int) -> Names:
    of = {"source": source, "target": target}
    if cycle % 2:
        of = {"source": target, "target": source}
    return Names(
        direction_name(MIGRATION, cycle),
        ((of["source"].name, of["target"].name, ""),),
        {side: ("aws", spot.account, spot.region) for side, spot in of.items()},
        (POINTER,),
    )
