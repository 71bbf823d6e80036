"""What ``replicator watch`` asks of a migration on the embedded AWS: little, and it changes nothing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from botocore.client import BaseClient

from replicator.commands.watch_look import Looking
from replicator.doctor.policies import statements
from tests.replicator.migrations import SOURCE_REGION, Migration

pytestmark = [pytest.mark.engine("ministack"), pytest.mark.e2e]

PAGE = (Path(__file__).parents[3] / "docs" / "permissions.md").read_text()


@pytest.fixture
def asked(monkeypatch):
    """What is asked of AWS, as IAM names it."""
    asked: Counter[str] = Counter()
    whole = BaseClient._make_api_call

    def noted(self, operation, arguments):
        service = self.meta.service_model.signing_name
        asked[f"{service}:{operation}"] += 1
        return whole(self, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", noted)
    return asked


def test_a_look_asks_little_and_what_the_page_grants(aws, unique, tmp_path, monkeypatch, asked):
    for name, value in aws.variables(SOURCE_REGION).items():
        monkeypatch.setenv(name, value)
    moving = Migration(aws, unique("p"), tmp_path)
    moving.configure()
    moving.put("a", "first")
    moving.up()
    moving.restore()
    looking = Looking(moving.context())
    asked.clear()
    whole, (pair,) = looking.look()
    dear = dict(asked)
    asked.clear()
    looking.look()
    cheap = dict(asked)
    moving.down()

    assert pair.phase == "following: the target keeps up with the source"
    assert (pair.waiting, pair.dead_letters, pair.quarantined, pair.gap) == (0, 0, 0, None)
    assert pair.canary_p99_seconds is not None
    assert (whole.live, whole.gate_open, whole.under_way) == ("source", False, False)
    assert any("run" in reason for reason in whole.gate_reasons)
    assert cheap.keys() <= {
        "dynamodb:GetItem",
        "dynamodb:Query",
        "dynamodb:DescribeTable",  # what time it is there; it costs nothing
        "lambda:GetEventSourceMapping",
        "sqs:GetQueueAttributes",
    }
    reads = cheap["dynamodb:GetItem"] + cheap["dynamodb:Query"]
    assert reads <= 25  # docs/commands.md says about 20
    assert (cheap["sqs:GetQueueAttributes"], cheap["lambda:GetEventSourceMapping"]) == (2, 1)
    granted = {
        action
        for one in statements(PAGE)
        if one.section in ("Every command", "Every command on the target's side", "The verifier")
        for action in one.actions
    }
    free = {"sts:GetCallerIdentity"}
    prefixed = {f"cloudwatch:{one.partition(':')[2]}" if "monitoring" in one else one for one in dear}
    assert prefixed | cheap.keys() <= granted | free
