"""`make lint-security` notices what it is for: findings, reasons that are none or for nothing, silence."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cdk_lane import ROOT
from tests.checkov_lane import findings, unread, unused

TABLE = """Resources:
  Table:
    Type: AWS::DynamoDB::Table
    Metadata:
      checkov:
        skip:
          - id: CKV_AWS_28
            comment: It lives as long as its migration.
"""


def report(**results: Any) -> dict[str, Any]:
    return {"check_type": "cloudformation", "results": results}


def row(check: str, reason: str = "It lives as long as its migration.") -> dict[str, Any]:
    return {
        "check_id": check,
        "check_name": "backups are on",
        "file_path": "/a.yaml",
        "resource": "AWS::DynamoDB::Table.Table",
        "check_result": {"suppress_comment": reason},
    }


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.yaml").write_text(TABLE)
    return tmp_path


def test_what_is_in_order_is_passed_over(folder):
    reports = [report(passed_checks=[row("CKV_AWS_1")], skipped_checks=[row("CKV_AWS_28")])]

    assert [*findings(reports), *unused(reports, folder), *unread(reports, folder)] == []


@pytest.mark.parametrize(
    ("results", "told"),
    [
        ({"failed_checks": [row("CKV_AWS_119")]}, "AWS::DynamoDB::Table.Table: CKV_AWS_119, backups are on"),
        ({"skipped_checks": [row("CKV_AWS_28", "no")]}, "CKV_AWS_28 is skipped without a reason"),
        ({"skipped_checks": [row("CKV_AWS_28", "")]}, "CKV_AWS_28 is skipped without a reason"),
        ({"parsing_errors": ["a.yaml"]}, "a.yaml: checkov could not read it"),
    ],
)
def test_each_finding_is_told(results, told):
    assert [told in one for one in findings([report(**results)])] == [True]


def test_a_reason_for_what_nobody_looks_at_is_told(folder):
    reports = [report(skipped_checks=[row("CKV_AWS_119")])]

    assert list(unused(reports, folder)) == [
        "a.yaml Table: CKV_AWS_28 has a reason, and checkov does not look at it"
    ]


def test_a_file_of_which_nothing_was_said_is_told(folder):
    (folder / "main.tf").write_text("")
    (folder / "alarms.yaml").write_text("Resources: {A: {Type: 'AWS::CloudWatch::Alarm'}}")

    assert [one.partition(":")[0] for one in unread([{"passed": 0}], folder)] == ["a.yaml", "main.tf"]


def test_the_lane_is_one_of_ci():
    assert "make lint-security" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
