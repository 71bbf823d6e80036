"""What the templates promise, and no emulator notices."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import resources
from importlib.util import find_spec
from typing import Any, get_args

import pytest
import yaml

from ddbverify import names
from ddbverify.names import METRICS
from replicator.handlers.metrics import emit
from replicator.stack import stacks
from replicator.stack.bundle import HANDLERS, RUNTIME_PYTHON

PARTS: tuple[stacks.Template, ...] = get_args(stacks.Template)
FORTNIGHT = 14 * 24 * 3600
LONGEST_MIGRATION, LONGEST_PAIR = "m" * 30, "p" * 23
UNIQUE = 8  # characters of the stack's id in a queue's name

# Actions with a star, each with the reason that stands beside it in the template.
ALLOWED_STARS = {"sqs:SendMessage*"}


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


def template(part: stacks.Template) -> dict[str, Any]:
    loaded = yaml.load(stacks.template_body(part), Loader)
    assert isinstance(loaded, dict)
    return loaded


TEMPLATES = {part: template(part) for part in PARTS}


def of_type(kind: str, *parts: stacks.Template) -> Iterator[tuple[str, dict[str, Any]]]:
    """Logical id and properties of every resource of a type."""
    for part in parts or PARTS:
        for name, resource in TEMPLATES[part]["Resources"].items():
            if resource["Type"] == kind:
                yield name, resource.get("Properties", {})


def only(kind: str, part: stacks.Template) -> dict[str, Any]:
    ((_, properties),) = of_type(kind, part)
    return properties


def walk(node: Any) -> Iterator[Any]:
    yield node
    if isinstance(node, dict):
        for child in node.values():
            yield from walk(child)
    elif isinstance(node, list):
        for child in node:
            yield from walk(child)


def statements() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every statement that grants or denies, with the resource that it stands in."""
    for part in PARTS:
        for name, resource in TEMPLATES[part]["Resources"].items():
            for node in walk(resource):
                if isinstance(node, dict) and "Effect" in node:
                    yield f"{part}: {name}", node


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def default(part: stacks.Template, parameter: str) -> Any:
    return TEMPLATES[part]["Parameters"][parameter]["Default"]


def test_every_template_is_found_in_the_package_and_fits_into_a_request() -> None:
    folder = resources.files("replicator.stack").joinpath("templates")
    assert {file.name for file in folder.iterdir()} == {f"{part}.yaml" for part in PARTS}
    for part in PARTS:
        assert len(stacks.template_body(part).encode()) <= 51_200


@pytest.mark.parametrize("part", PARTS)
def test_every_parameter_is_used_constrained_and_described(part: stacks.Template) -> None:
    loaded = TEMPLATES[part]
    used = {node["Ref"] for node in walk(loaded) if isinstance(node, dict) and "Ref" in node}
    for node in walk(loaded):
        if isinstance(node, dict) and "Fn::Sub" in node:
            used |= set(re.findall(r"\$\{(\w+)\}", str(node["Fn::Sub"])))
    for name, parameter in loaded.get("Parameters", {}).items():
        assert name in used, f"{name} is not used"
        assert parameter.get("Description")
        assert {"AllowedPattern", "AllowedValues", "MinValue"} & set(parameter), f"{name} takes anything"


@pytest.mark.parametrize("part", PARTS)
def test_every_output_is_described(part: stacks.Template) -> None:
    assert all(output["Description"] for output in TEMPLATES[part]["Outputs"].values())


def test_outputs_hold_every_resource_that_the_state_table_names() -> None:
    outputs: dict[str, tuple[stacks.Template, str]] = {
        "queue_url": ("capture", "QueueUrl"),
        "dead_letter_url": ("capture", "DeadLetterUrl"),
        "forwarder_mapping": ("capture", "ForwarderMapping"),
        "consumer_mapping": ("apply", "ConsumerMapping"),
        "stream_arn": ("capture", "StreamArn"),
        "ledger_table": ("target", "LedgerTable"),
        "target_region": ("apply", "TargetRegion"),
        "forwarder": ("capture", "Forwarder"),
        "consumer": ("apply", "Consumer"),
    }
    for part, output in outputs.values():
        assert output in TEMPLATES[part]["Outputs"]
    # What the fact holds stands in the text beside its name, and nowhere else.
    source = inspect.getsource(names.Fact)
    described = source.partition("RESOURCES:")[2].partition('"""')[2].partition('"""')[0]
    of_no_stack = {"knows_markers"}  # what the deployed code is, noted by whoever deploys it
    assert set(re.findall(r"``(\w+)``", described)) == set(outputs) | of_no_stack


def test_a_message_is_hidden_for_as_long_as_a_consumer_may_work_on_it() -> None:
    queue = next(properties for name, properties in of_type("AWS::SQS::Queue") if name == "Queue")
    assert queue["VisibilityTimeout"] == {"Ref": "VisibilityTimeout"}
    assert only("AWS::Lambda::Function", "apply")["Timeout"] == {"Ref": "Timeout"}
    hidden, works = default("capture", "VisibilityTimeout"), default("apply", "Timeout")
    assert hidden >= 6 * works
    assert stacks.Timing() == stacks.Timing(works, hidden)  # other values: test_stacks


def test_queues_keep_everything_in_order_and_for_as_long_as_sqs_can() -> None:
    queues = dict(of_type("AWS::SQS::Queue"))
    assert set(queues) == {"Queue", "DeadLetters"}
    for properties in queues.values():
        assert properties["FifoQueue"] is True
        assert properties["ContentBasedDeduplication"] is False
        assert properties["MessageRetentionPeriod"] == FORTNIGHT
        assert properties["SqsManagedSseEnabled"] is True
    queue, dead = queues["Queue"], queues["DeadLetters"]
    assert queue["DeduplicationScope"] == "messageGroup"
    assert queue["FifoThroughputLimit"] == "perMessageGroupId"
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == {"Fn::GetAtt": ["DeadLetters", "Arn"]}
    assert dead["RedriveAllowPolicy"]["redrivePermission"] == "byQueue"
    ((allowed,),) = [dead["RedriveAllowPolicy"]["sourceQueueArns"]]
    arn, parts = allowed["Fn::Sub"]
    name, own_parts = queue["QueueName"]["Fn::Sub"]
    assert arn.endswith(f":{name}")
    assert parts == own_parts


def test_the_stream_is_read_from_its_beginning_and_no_record_is_given_up() -> None:
    mapping = only("AWS::Lambda::EventSourceMapping", "capture")
    assert mapping["StartingPosition"] == "TRIM_HORIZON"
    assert mapping["BisectBatchOnFunctionError"] is True
    assert mapping["ParallelizationFactor"] == 1
    assert (mapping["MaximumRetryAttempts"], mapping["MaximumRecordAgeInSeconds"]) == (-1, -1)
    assert not {"FilterCriteria", "DestinationConfig"} & set(mapping)


def test_the_queue_is_read_as_a_fifo_queue_allows() -> None:
    mapping = only("AWS::Lambda::EventSourceMapping", "apply")
    assert mapping["BatchSize"] == {"Ref": "BatchSize"}
    assert TEMPLATES["apply"]["Parameters"]["BatchSize"]["MaxValue"] == 10
    assert not {"MaximumBatchingWindowInSeconds", "StartingPosition", "FilterCriteria"} & set(mapping)
    concurrency = TEMPLATES["apply"]["Parameters"]["MaximumConcurrency"]
    assert (concurrency["MinValue"], concurrency["MaxValue"]) == (2, 1000)


@pytest.mark.parametrize("part", ["capture", "apply"])
def test_both_mappings_report_what_failed_and_can_be_off(part: stacks.Template) -> None:
    mapping = only("AWS::Lambda::EventSourceMapping", part)
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["Enabled"] == {"Fn::If": ["IsEnabled", True, False]}
    assert TEMPLATES[part]["Conditions"]["IsEnabled"] == {"Fn::Equals": [{"Ref": "Enabled"}, "true"]}


def test_the_consumer_is_off_until_somebody_says_otherwise() -> None:
    assert default("apply", "Enabled") == "false"
    assert default("capture", "Enabled") == "true"


def test_nothing_is_granted_with_a_star() -> None:
    granted = 0
    for where, statement in statements():
        if statement["Effect"] != "Allow":
            continue
        granted += 1
        assert not {"NotAction", "NotResource", "NotPrincipal"} & set(statement), where
        for action in listed(statement["Action"]):
            assert "*" not in action or action in ALLOWED_STARS, f"{where}: {action}"
        if "Principal" not in statement:
            assert all(resource != "*" for resource in listed(statement["Resource"])), where
        assert statement.get("Principal") != "*", where
    assert granted > 10  # the walk has found them


def test_a_star_in_a_resource_stands_for_the_streams_of_one_table_and_nothing_else() -> None:
    for where, statement in statements():
        if statement["Effect"] == "Allow" and "*" in json.dumps(statement.get("Resource", "")):
            assert statement["Action"] == "dynamodb:ListStreams", where


def test_facts_are_written_of_the_own_pair_only() -> None:
    found = [one for _, one in statements() if one.get("Resource") == {"Ref": "StateTableArn"}]
    assert len(found) == 2
    for statement in found:
        keys = statement["Condition"]["ForAllValues:StringEquals"]["dynamodb:LeadingKeys"]
        assert keys == [{"Fn::Sub": names.pair_pk("${Pair}")}]


def test_each_function_has_a_role_a_log_and_a_handler_of_its_own() -> None:
    roles, logs, handlers = [], [], []
    for name, properties in of_type("AWS::Lambda::Function"):
        roles.append(properties["Role"]["Fn::GetAtt"][0])
        logs.append(properties["LoggingConfig"]["LogGroup"]["Ref"])
        handlers.append(properties["Handler"])
        assert roles[-1] == f"{name}Role"
        assert properties["Runtime"] == "python" + ".".join(map(str, RUNTIME_PYTHON))
        assert properties["Code"]["S3Key"] == {"Ref": "BundleKey"}
    assert len(set(roles)) == len(set(logs)) == len(roles) == 2
    assert sorted(handlers) == sorted(handler.replace(":", ".") for handler in HANDLERS)
    for _, properties in of_type("AWS::Logs::LogGroup"):
        assert properties["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_what_is_made_is_removed_again() -> None:
    for part in PARTS:
        for name, resource in TEMPLATES[part]["Resources"].items():
            if resource["Type"] in ("AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::Logs::LogGroup"):
                assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Delete", name
    tables = dict(of_type("AWS::DynamoDB::Table"))
    assert set(tables) == {"StateTable", "Ledger"}
    assert all("TimeToLiveSpecification" not in properties for properties in tables.values())


def test_the_bucket_is_private_and_encrypted() -> None:
    bucket = only("AWS::S3::Bucket", "base")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["BucketEncryption"]
    ((_, policy),) = of_type("AWS::S3::BucketPolicy")
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_the_state_table_is_the_one_that_the_commands_look_for() -> None:
    pattern = TEMPLATES["base"]["Parameters"]["StateTableName"]["AllowedPattern"]
    assert re.fullmatch(pattern, names.state_table(LONGEST_MIGRATION))
    table = only("AWS::DynamoDB::Table", "base")
    assert [key["AttributeName"] for key in table["KeySchema"]] == ["pk", "sk"]


def test_the_longest_names_fit() -> None:
    assert names.MIGRATION_NAME.fullmatch(LONGEST_MIGRATION)
    assert not names.MIGRATION_NAME.fullmatch(LONGEST_MIGRATION + "m")
    assert len(names.pair_id("a-very-long-table-name" * 9, "b")) <= len(LONGEST_PAIR)
    of_pairs: tuple[stacks.Template, ...] = ("capture", "target", "apply")
    for part in of_pairs:
        for parameter, longest in (("Migration", LONGEST_MIGRATION), ("Pair", LONGEST_PAIR)):
            pattern = TEMPLATES[part]["Parameters"][parameter]["AllowedPattern"]
            assert re.fullmatch(pattern, longest)
        assert len(names.stack_name(LONGEST_MIGRATION, part, LONGEST_PAIR)) <= 128

    def filled(text: str) -> str:
        values = {
            "Migration": LONGEST_MIGRATION,
            "Pair": LONGEST_PAIR,
            "Restart": "9" * 9,
            "Unique": "u" * UNIQUE,
        }
        return re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], text)

    queue = next(properties for name, properties in of_type("AWS::SQS::Queue") if name == "Queue")
    assert len(filled(queue["QueueName"]["Fn::Sub"][0])) <= 80
    for name, properties in of_type("AWS::DynamoDB::Table", "target"):
        assert len(filled(properties["TableName"]["Fn::Sub"])) <= 255, name
    for name, properties in of_type("AWS::Logs::LogGroup"):
        assert len(filled(properties["LogGroupName"]["Fn::Sub"])) <= 512, name
    # Everything else is named by CloudFormation, which cuts its names to each service's limit.
    for kind, named in (("AWS::IAM::Role", "RoleName"), ("AWS::Lambda::Function", "FunctionName")):
        assert all(named not in properties for _, properties in of_type(kind))


WATCHED = {
    "capture": {
        ("AWS/Lambda", "IteratorAge"),
        ("AWS/Lambda", "Errors"),
        ("AWS/SQS", "ApproximateAgeOfOldestMessage"),
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
        ("Replicator", "Gaps"),
        ("Replicator", "LateWrites"),
        ("Replicator", "NotWatched"),
    },
    "apply": {
        ("AWS/Lambda", "Errors"),
        ("Replicator", "CanaryMilliseconds"),
        ("Replicator", "Gaps"),
        ("Replicator", "Quarantined"),
    },
}


@pytest.mark.parametrize("part", WATCHED)
def test_alarms_watch_what_can_go_wrong_and_tell_the_topic(part: stacks.Template) -> None:
    alarms = [one for _, one in of_type("AWS::CloudWatch::Alarm", part)]
    assert {(one["Namespace"], one["MetricName"]) for one in alarms} == WATCHED[part]
    for one in alarms:
        assert one["AlarmActions"] == {
            "Fn::If": ["HasTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]
        }
        assert one["ComparisonOperator"] == "GreaterThanThreshold"
        assert one["TreatMissingData"] == "notBreaching"
        assert one["AlarmDescription"]


@pytest.mark.parametrize(("part", "service"), [("capture", "forwarder"), ("apply", "consumer")])
def test_alarms_of_our_metrics_have_the_dimensions_that_the_handlers_send(
    part: stacks.Template, service: str, capsys: pytest.CaptureFixture[str]
) -> None:
    emit(service, {"MIGRATION": "shop", "PAIR": "orders"}, {"Gaps": 1, "CanaryMilliseconds": 5})

    sent = json.loads(capsys.readouterr().out)["_aws"]["CloudWatchMetrics"][0]
    ours = [one for _, one in of_type("AWS::CloudWatch::Alarm", part) if one["Namespace"] == METRICS]
    assert sent["Namespace"] == METRICS
    for one in ours:
        assert [sorted(entry["Name"] for entry in one["Dimensions"])] == [
            sorted(names_) for names_ in sent["Dimensions"]
        ]
        assert {"Name": "service", "Value": service} in one["Dimensions"]


@pytest.mark.skipif(find_spec("cfnlint") is None, reason="cfn-lint is not installed; `make lint` runs it")
def test_cfn_lint_finds_nothing() -> None:
    folder = resources.files("replicator.stack").joinpath("templates")
    files = [str(folder.joinpath(f"{part}.yaml")) for part in PARTS]
    done = subprocess.run(
        [sys.executable, "-c", "from cfnlint.runner import main; main()", *files],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
