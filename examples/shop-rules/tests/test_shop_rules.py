"""The rules one by one. That ddbverify asks them is ddbverify's own business."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
import shop_rules

from ddbverify import Difference, State


def test_addresses_count_in_small_letters():
    assert shop_rules.ddbverify_normalise_item({"id": "1", "email": "A@b.C"}) == {"id": "1", "email": "a@b.c"}
    assert shop_rules.ddbverify_normalise_item({"id": "1"}) is None


@pytest.mark.parametrize(
    ("path", "expected", "target", "answer"),
    [
        ("rating", Decimal("4.5"), Decimal("4.55"), True),
        ("rating", Decimal("4.5"), Decimal("4.56"), False),
        ("rating", Decimal("4.5"), "4.5", None),
        ("price", Decimal(1), Decimal(1), None),
    ],
)
def test_only_ratings_may_be_off(path, expected, target, answer):
    assert shop_rules.ddbverify_compare_values(path, expected, target) is answer


def test_what_is_known_is_known_for_one_thing_and_for_a_time():
    key = {"id": {"S": "order-1017"}}
    known = shop_rules.ddbverify_known_difference(Difference(state=State.MISSING, key=key))
    assert known is not None
    assert known.expires > date(2026, 1, 1)
    assert shop_rules.ddbverify_known_difference(Difference(state=State.DIFFERENT, key=key)) is None
    assert (
        shop_rules.ddbverify_known_difference(Difference(state=State.MISSING, key={"id": {"S": "x"}})) is None
    )


def test_the_report_is_a_line(tmp_path):
    evidence = {"run_id": "r", "verdict": "passed", "pairs": [{"comparison": {"counts": {"matched": 3}}}]}
    shop_rules.ddbverify_report(evidence, tmp_path)
    assert (tmp_path / shop_rules.REPORT).read_text() == "r passed: 3 orders are where they belong\n"


def test_a_freeze_vetoes(monkeypatch):
    assert shop_rules.ddbverify_gate_veto() is None
    monkeypatch.setenv("SHOP_FREEZE", "sale until Monday")
    assert shop_rules.ddbverify_gate_veto() == "sale until Monday"
