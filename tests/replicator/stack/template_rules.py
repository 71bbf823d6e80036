"""
Rules of our own over a template, whichever form it comes in: what no linter knows of this project.

`faults` takes the parsed document, so that what `replicator synth` or another tool makes is held to the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml

# Actions with a star, each with the reason that stands beside it in the template.
ALLOWED_STARS = {"sqs:SendMessage*"}

# What is granted on more than one ARN, each with its reason in the template: no interface has an id
# beforehand, the Describe actions know no resource, a table's streams are asked for as a whole, runs and
# mappings are called by ids that nobody knows, and a way back has queues and state beside the other table.
WIDE = (
    {"dynamodb:ListStreams"},
    {"ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"},
    {
        "ec2:AssignPrivateIpAddresses",
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:UnassignPrivateIpAddresses",
    },
    {
        "application-autoscaling:DescribeScalableTargets",
        "application-autoscaling:DescribeScalingPolicies",
    },
    {"dynamodb:Query"},
    {"sqs:GetQueueAttributes"},
    {"lambda:GetEventSourceMapping"},
    {"s3:GetObject", "s3:PutObject"},
)

# Where a key that is given goes, by the type of the resource.
KEYS = {
    "AWS::DynamoDB::Table": "KMSMasterKeyId",
    "AWS::SQS::Queue": "KmsMasterKeyId",
    "AWS::Logs::LogGroup": "KmsKeyId",
    "AWS::S3::Bucket": "KMSMasterKeyID",
}


class Loader(yaml.SafeLoader):
    """YAML with CloudFormation's tags, as the functions that they stand for."""


def _function(loader: Loader, suffix: str, node: yaml.Node) -> Any:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    else:
        raise TypeError(type(node))
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


Loader.add_multi_constructor("!", _function)


def parsed(text: str) -> dict[str, Any]:
    """A template's text as CloudFormation reads it."""
    loaded = yaml.load(text, Loader)
    assert isinstance(loaded, dict)
    return loaded


def walk(node: Any) -> Iterator[Any]:
    """A node and all below it."""
    yield node
    if isinstance(node, dict):
        for child in node.values():
            yield from walk(child)
    elif isinstance(node, list):
        for child in node:
            yield from walk(child)


def listed(value: Any) -> list[Any]:
    """What may be one or several."""
    return value if isinstance(value, list) else [value]


def statements(template: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every statement that grants or denies, with the resource that it stands in."""
    for name, resource in template["Resources"].items():
        for node in walk(resource):
            if isinstance(node, dict) and "Effect" in node:
                yield name, node


def faults(template: dict[str, Any]) -> list[str]:
    """What is against the rules, in words."""
    found = [f"{name}: {fault}" for name, one in statements(template) for fault in _of_statement(one)]
    for name, resource in template["Resources"].items():
        kind, properties = resource["Type"], resource.get("Properties", {})
        if kind in KEYS and not any(isinstance(one, dict) and KEYS[kind] in one for one in walk(properties)):
            found.append(f"{name}: no key of KMS can be given")
        if kind == "AWS::IAM::Role" and not {"PermissionsBoundary", "Path", "RoleName"} <= set(properties):
            found.append(f"{name}: has no boundary, path or name that can be given")
        if kind in ("AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::Logs::LogGroup", "AWS::S3::Bucket") and (
            not resource.get("DeletionPolicy") == resource.get("UpdateReplacePolicy", "Delete") == "Delete"
        ):
            found.append(f"{name}: stays behind when its stack goes")
    return found


def _of_statement(one: dict[str, Any]) -> Iterator[str]:
    if one["Effect"] != "Allow":
        return
    if {"NotAction", "NotResource", "NotPrincipal"} & set(one):
        yield "grants by what it leaves out"
    actions = listed(one.get("Action"))
    for action in actions:
        if "*" in action and action not in ALLOWED_STARS:
            yield f"grants {action}"
    if one.get("Principal") == "*":
        yield "grants to everybody"
    if "*" in json.dumps(one.get("Resource", "")) and set(actions) not in WIDE:
        yield f"grants {', '.join(actions)} on more than one ARN"
