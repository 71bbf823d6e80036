"""How much processor time a pair's transform and checks take: measured in memory, on a few of its items."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from ddbverify.compare.controls import HeldTable
from ddbverify.compare.inspection import ItemCheck
from ddbverify.compare.judge import Judge, Uncomparable
from ddbverify.compare.one_pass import Pass
from ddbverify.compare.request import PassRequest, Running
from ddbverify.config import Duration, Verification
from ddbverify.items.form import Form
from ddbverify.items.transform import Transform
from ddbverify.names import TypedItem
from ddbverify.tables.segments import Plan

FIRST_ITEMS: Final = 50
ENOUGH_SECONDS: Final = 0.2
"""A transform that has taken so long over the first items is measured."""


def seconds_per_item(
    sources: Sequence[TypedItem],
    transform: Transform,
    form: Form,
    ttl_attributes: Sequence[str] = (),
    checks: Sequence[ItemCheck] = (),
) -> float:
    """
    Seconds of processor time for one source item and what it becomes, where the target holds just that.

    What reading them from DynamoDB takes is not in it.

    Args:
        sources: Items of the source, at least one. User code is called on them.
        transform: What they become.
        form: How items are compared.
        ttl_attributes: Of either table.
        checks: On items.
    """
    judge = Judge(transform, form, tuple(ttl_attributes))
    first = sources[:FIRST_ITEMS]
    spent = _seconds(first, judge, checks)
    if spent < ENOUGH_SECONDS:  # also so that what only the first items pay for is paid
        first, spent = sources, _seconds(sources, judge, checks)
    return max(0.0, spent - _seconds((), judge, checks)) / len(first)


def _seconds(sources: Sequence[TypedItem], judge: Judge, checks: Sequence[ItemCheck]) -> float:
    targets = []
    for source in sources:
        with suppress(Uncomparable):  # it is a finding of the comparison, and costs time there, too
            targets += [claim.item for claim in judge.claims(source)]
    one_pass = Pass(
        "sample",
        HeldTable(sources, judge.transform.source_keys),
        HeldTable(targets, judge.transform.target_keys),
        judge,
        Plan(1, (0,)),
        Verification(settle=Duration(0)),
        request=PassRequest(item_checks=checks),
        running=Running(threads=1),
        has_controls=False,
    )
    began = time.process_time()
    one_pass.run()
    return time.process_time() - began
