"""What `up` to `cutover` make in the accounts, counted from the templates; `down` removes it. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from ddbverify.names import stack_name
from replicator.estimate.moved import Moved
from replicator.stack import dashboard as dashboards
from replicator.stack import stacks

if TYPE_CHECKING:
    from replicator.stack.stacks import Template

_TYPE: Final = re.compile(r"^    Type: AWS::(\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Stack:
    """
    A stack of the migration.

    Args:
        made_by: The command that makes it.
        where: ``source`` or ``target``.
        holds: Type of resource -> how many.
    """

    name: str
    made_by: str
    where: str
    holds: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"name": self.name, "made_by": self.made_by, "where": self.where, "holds": self.holds}


def stacks_of(
    migration: str,
    pairs: Sequence[tuple[str, bool]],
    *,
    dashboard: bool,
    worker: bool = False,
    audited: bool = False,
) -> list[Stack]:
    """
    The stacks of a migration, in the order in which they are made.

    Args:
        dashboard: Whether ``[replication]`` wants one.
        pairs: Id of each, and whether it crosses accounts.
        worker: Whether workers carry it: then there are no functions, and nothing to show of them.
        audited: Whether a function audits by a schedule.
    """
    made = [Stack(stack_name(migration, "base"), "up", "source", _holds("base"))]
    captures = _holds("queue" if worker else "capture")
    made += [Stack(stack_name(migration, "capture", one), "up", "source", captures) for one, _ in pairs]
    for at in range(len(dashboards.chunks(pairs)) if dashboard and not worker else 0):
        called = stack_name(migration, "dashboard", str(at + 1) if at else None)
        made.append(Stack(called, "up", "source", {"CloudWatch::Dashboard": 1}))
    for one, crosses in pairs:
        ledger = _holds("target")
        # The writer's and the reader's, which the template makes across accounts only.
        ledger["IAM::Role"] = 1 + audited
        if worker or not crosses:
            del ledger["IAM::Role"]
        made.append(Stack(stack_name(migration, "target", one), "restore", "target", ledger))
        if not worker:
            made.append(Stack(stack_name(migration, "apply", one), "restore", "source", _holds("apply")))
        if audited and not worker:
            made.append(Stack(stack_name(migration, "audit", one), "restore", "source", _holds("audit")))
    return made


def verifying(migration: str) -> Stack:
    """The stack of the builds that verify by a schedule: one for the whole migration."""
    return Stack(stack_name(migration, "verify"), "restore", "source", _holds("verify"))


def alarms_of_verifying() -> int:
    """Alarms of that stack."""
    return _holds("verify")["CloudWatch::Alarm"]


def of_way_back(made: Sequence[Stack]) -> list[Stack]:
    """The stacks of a way back: those of a migration of its own, in which the sides have changed places."""
    other = {"source": "target", "target": "source"}
    return [replace(one, made_by="cutover", where=other[one.where]) for one in made]


def _holds(template: Template) -> dict[str, int]:
    return dict(sorted(Counter(_TYPE.findall(stacks.template_body(template))).items()))


def alarms_of_a_pair(*, worker: bool = False, audited: bool = False) -> int:
    """Alarms of the stacks of one pair, which are billed by the month."""
    templates: tuple[Template, ...] = ("queue",) if worker else ("capture", "apply")
    if audited and not worker:
        templates = (*templates, "audit")
    return sum(_holds(template).get("CloudWatch::Alarm", 0) for template in templates)


def beside(moved: Moved, *, stream_is_on: bool, closes_target: bool) -> list[str]:
    """What is made or changed of a pair outside of stacks, in words."""
    made = []
    if not stream_is_on:
        made.append("the source's stream is turned on (`down` turns it off again)")
    if moved.backfill == "backup":
        made.append("an on-demand backup of the source (it stays)")
    if moved.is_exported:
        made.append("an export of the source in S3 (it stays)")
    if moved.imported:
        made.append("files that the target is imported from, in S3 (they stay)")
    if moved.is_loaded and moved.is_restored:
        made.append("a staging table beside the source (`restore` removes it)")
    if not moved.target_exists:
        made.append("the target table (it stays once it is flipped to)")
    if closes_target:
        made.append("a statement in the target's own policy, from `restore` to the flip")
    return made
