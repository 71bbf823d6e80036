"""What of a stack of others is refused, and in which words; on the embedded AWS: commands/test_deployed."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from replicator.stack import stacks
from replicator.stack.deployed import (
    defaults,
    drifted,
    faults_of_account,
    faults_of_function,
    faults_of_mapping,
    faults_of_stack,
    version,
)
from tests.replicator.stack.template_rules import parsed

TEXT = stacks.template_body("base")
GIVEN = {"StateTableName": "replicator-shop-state", "TableKeyArn": "", "BucketKeyArn": ""}


@pytest.mark.parametrize("part", get_args(stacks.Template))
def test_version_and_defaults_are_read_as_cloudformation_reads_them(part):
    text = stacks.template_body(part)
    template = parsed(text)

    assert version(text) == template["Outputs"]["TemplateVersion"]["Value"]
    assert defaults(text) == {
        name: str(one["Default"]) for name, one in template["Parameters"].items() if "Default" in one
    }


def described(status="CREATE_COMPLETE", outputs=None, **other):
    found = {"TemplateVersion": version(TEXT)} if outputs is None else outputs
    return {
        "StackStatus": status,
        "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in found.items()],
        "Parameters": [
            {"ParameterKey": key, "ParameterValue": value}
            for key, value in (GIVEN | other).items()
            if value is not None
        ],
    }


def of_stack(found):
    return [
        one.message for one in faults_of_stack("s", found, {"StateTableName": "replicator-shop-state"}, TEXT)
    ]


KEY = "arn:aws:kms:eu-west-1:123456789012:key/k"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (described(), []),
        (described("UPDATE_COMPLETE"), []),
        (described("UPDATE_ROLLBACK_COMPLETE"), []),
        (None, ["The stack s is not deployed."]),
        (described("UPDATE_IN_PROGRESS"), ["The stack s is in UPDATE_IN_PROGRESS."]),
        (described("ROLLBACK_COMPLETE"), ["The stack s is in ROLLBACK_COMPLETE."]),
        (
            described(outputs={}),
            ["The stack s does not say which version of its template it was deployed from."],
        ),
        (
            described(outputs={"TemplateVersion": "0"}),
            [f"The stack s was deployed from version 0 of its template; this build has {version(TEXT)}."],
        ),
        (
            described(outputs={"TemplateVersion": "999"}),
            [f"The stack s was deployed from version 999 of its template; this build knows {version(TEXT)}."],
        ),
        (
            described(StateTableName="other"),
            ["The stack s was deployed with StateTableName = 'other' instead of 'replicator-shop-state'."],
        ),
        (
            described(TableKeyArn=KEY),
            ["The stack s was deployed with TableKeyArn = another ARN instead of ''."],
        ),
        (
            described(TableKeyArn=None, BucketKeyArn=None),
            ["The stack s does not say what it was deployed with: BucketKeyArn, TableKeyArn."],
        ),
    ],
)
def test_each_fault_of_a_stack_is_one_sentence(found, said):
    assert of_stack(found) == said
    assert not re.search(r"\d{12}", " ".join(said)), "no account is told"


def test_another_key_of_the_code_is_other_code():
    text = stacks.template_body("capture")
    wanted = {"BundleKey": "bundles/new.zip"}
    given = defaults(text) | {"BundleKey": "bundles/old.zip"}
    found = described(outputs={"TemplateVersion": version(text)})
    found["Parameters"] = [{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()]

    (fault,) = faults_of_stack("s", found, wanted, text)
    assert fault.message == "The stack s runs other code than this build and these transforms are."


FUNCTION = {
    "FunctionName": "f",
    "CodeSha256": "abc",
    "Role": "arn:role",
    "Environment": {"Variables": {"PAIR": "orders", "MORE": "x"}},
}


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({}, ""),
        ({"CodeSha256": "def"}, "runs other code than its stack s names"),
        ({"Role": "arn:another"}, "runs with another role than its stack s made"),
        ({"Environment": {"Variables": {"PAIR": "x"}}}, "works on something else than s says: PAIR"),
        ({"Environment": {"Variables": {}}}, "PAIR"),
        ({"Environment": None}, "PAIR"),
    ],
)
def test_a_function_that_was_changed_by_hand_is_named(other, said):
    found = list(
        faults_of_function(
            "s", FUNCTION | other, role="arn:role", variables={"PAIR": "orders"}, sha256_base64="abc"
        )
    )
    assert [one for one in found if said in one.message] == found
    assert bool(found) is bool(said)


def test_a_mapping_that_reads_something_else_is_named():
    right = {"EventSourceArn": "arn:queue", "FunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:f"}

    def faults(**other):
        return [one.message for one in faults_of_mapping("s", right | other, function="f", reads="arn:queue")]

    assert faults() == []
    assert len(faults(EventSourceArn="arn:another")) == 1
    assert len(faults(FunctionArn=right["FunctionArn"][:-1] + "g")) == 1
    assert len(faults(FunctionArn="")) == 1


def test_a_queue_of_another_account_is_named_without_the_account():
    (fault,) = faults_of_account("s", "queue", "arn:aws:sqs:eu-west-1:210987654321:q.fifo", "123456789012")

    assert fault.message == "The queue of the stack s is another account's."
    assert not list(faults_of_account("s", "queue", "arn:aws:sqs:eu-west-1:210987654321:q", "210987654321"))


def drift(status="MODIFIED", kind="AWS::IAM::Role", *paths):
    return {
        "LogicalResourceId": "One",
        "ResourceType": kind,
        "StackResourceDriftStatus": status,
        "PropertyDifferences": [{"PropertyPath": path} for path in paths],
    }


@pytest.mark.parametrize(
    ("found", "named"),
    [
        (drift("MODIFIED", "AWS::IAM::Role", "/Policies/0"), ["One (MODIFIED)"]),
        (drift("DELETED", "AWS::IAM::Role"), ["One (DELETED)"]),
        (drift("IN_SYNC"), []),
        (drift("MODIFIED", "AWS::Lambda::EventSourceMapping", "/Enabled"), []),
        (drift("MODIFIED", "AWS::Lambda::EventSourceMapping", "/Enabled", "/BatchSize"), ["One (MODIFIED)"]),
        (drift("DELETED", "AWS::Lambda::EventSourceMapping"), ["One (DELETED)"]),
        (drift("MODIFIED", "AWS::Lambda::Function", "/Enabled"), ["One (MODIFIED)"]),
    ],
)
def test_what_has_drifted_is_named_but_for_the_switch_that_is_ours(found, named):
    assert drifted([found]) == named
