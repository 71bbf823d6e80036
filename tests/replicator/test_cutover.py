"""What a cutover refuses before it touches anything, and whom its fence lets through."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ddbverify.config import parse
from ddbverify.errors import ConfigurationError, Refused
from ddbverify.names import Fact
from replicator.cutover import LEAST_QUIET_SECONDS, _check, role_of
from replicator.state import State
from tests.replicator.fakes import STATE, FakeDynamoDB, refusal

FILE = """
[[tables]]
source = "orders"
target = "orders-v2"

[cutover]
pointer = "ssm:/shop/orders-table"
"""


class Target:
    """A client that knows one table, or none."""

    def __init__(self, *, there):
        self.there = there

    def describe_table(self, *, TableName):  # noqa: N803
        if not self.there:
            raise refusal("ResourceNotFoundException")
        return {
            "Table": {
                "TableArn": f"arn:aws:dynamodb:eu-west-1:123456789012:table/{TableName}",
                "TableStatus": "ACTIVE",
                "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            }
        }


def context(tmp_path, text=FILE, *, follows=True, there=True, emulator=False):
    config = parse(text, tmp_path)
    state = State.of_pair(FakeDynamoDB(), STATE, config.tables[0].id)
    if follows:
        state.put(Fact.STEP + "following", at="now")
    return SimpleNamespace(
        config=config, emulator=emulator, state=lambda pair: state, target=Target(there=there)
    )


def test_a_migration_that_follows_may_be_cut_over(tmp_path):
    assert _check(context(tmp_path)) == "/shop/orders-table"


def test_without_a_pointer_there_is_nothing_to_flip(tmp_path):
    with pytest.raises(ConfigurationError, match=r"\[cutover\] pointer"):
        _check(context(tmp_path, FILE.partition("[cutover]")[0]))


@pytest.mark.parametrize("quiet", ["0s", "59s"])
def test_a_short_quiet_time_is_for_emulators(tmp_path, quiet):
    text = f'{FILE}quiet = "{quiet}"\n'

    with pytest.raises(ConfigurationError, match=r"\[cutover\] quiet"):
        _check(context(tmp_path, text))
    assert _check(context(tmp_path, text, emulator=True))
    assert _check(context(tmp_path, f'{FILE}quiet = "{LEAST_QUIET_SECONDS:.0f}s"\n'))


def test_a_cutover_before_restore_is_refused(tmp_path):
    with pytest.raises(Refused, match="does not follow") as caught:
        _check(context(tmp_path, follows=False))
    assert "replicator restore" in caught.value.hint


def test_a_target_that_is_gone_is_refused(tmp_path):
    with pytest.raises(Refused, match="does not exist any more"):
        _check(context(tmp_path, there=False))


@pytest.mark.parametrize(
    ("identity", "principal"),
    [
        ("arn:aws:iam::123456789012:user/ops", "arn:aws:iam::123456789012:user/ops"),
        ("arn:aws:iam::123456789012:root", "arn:aws:iam::123456789012:root"),
        ("arn:aws:sts::123456789012:assumed-role/Admin/me@x.org", "arn:aws:iam::123456789012:role/Admin"),
        ("arn:aws-cn:sts::123456789012:assumed-role/Admin/me", "arn:aws-cn:iam::123456789012:role/Admin"),
        ("arn:aws-us-gov:sts::123456789012:assumed-role/A/s/x", "arn:aws-us-gov:iam::123456789012:role/A"),
    ],
)
def test_a_session_is_known_by_the_role_behind_it(identity, principal):
    assert role_of(identity)[0] == principal
