"""What the templates promise, and no emulator notices."""

from __future__ import annotations

import copy
import hashlib
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import resources
from importlib.util import find_spec
from typing import Any, get_args

import pytest

from ddbverify import names
from ddbverify.names import METRICS
from ddbverify.words import docs_folder
from replicator.audits.function import AGAIN_SECONDS
from replicator.audits.turn import EVERY_SECONDS
from replicator.aws import stream
from replicator.handlers.metrics import emit
from replicator.stack import stacks
from replicator.stack.bundle import HANDLERS, RUNTIME_PYTHON
from tests.replicator.stack import template_rules
from tests.replicator.stack.template_rules import faults, parsed, walk

PARTS: tuple[stacks.Template, ...] = get_args(stacks.Template)
PAGE = (docs_folder() / "deploy-with-your-stack.md").read_text(encoding="utf-8")
FORTNIGHT = 14 * 24 * 3600
LONGEST_MIGRATION, LONGEST_PAIR = "m" * 30, "p" * 23
UNIQUE = 8  # characters of the stack's id in a queue's name

# Version and digest of each template: who changes one gives it the next version, so that `up --deployed` can
# tell a stack of an older one. Metadata is for readers and linters: nothing is made of it.
VERSIONS = {
    "audit": ("1", "3f2c6b6db216a22f"),
    "apply": ("2", "2f607c42101d464c"),
    "base": ("1", "7eae980538127f58"),
    "capture": ("2", "d3c770f19750647c"),
    "queue": ("2", "f66963bca9578cda"),
    "target": ("3", "cf9f5030c48f04d6"),
    "verify": ("1", "862494fab5f3ce7c"),
}


TEMPLATES = {part: parsed(stacks.template_body(part)) for part in PARTS}


def of_type(kind: str, *parts: stacks.Template) -> Iterator[tuple[str, dict[str, Any]]]:
    """Logical id and properties of every resource of a type."""
    for part in parts or PARTS:
        for name, resource in TEMPLATES[part]["Resources"].items():
            if resource["Type"] == kind:
                yield name, resource.get("Properties", {})


def only(kind: str, part: stacks.Template) -> dict[str, Any]:
    ((_, properties),) = of_type(kind, part)
    return properties


def statements() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every statement that grants or denies, with the resource that it stands in."""
    for part in PARTS:
        for name, node in template_rules.statements(TEMPLATES[part]):
            yield f"{part}: {name}", node


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
    of_no_stack = {"knows_markers", "by_others"}  # what the deployed code is, and whose the stacks are
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
        assert properties["SqsManagedSseEnabled"] == {
            "Fn::If": ["HasQueueKey", {"Ref": "AWS::NoValue"}, True]
        }
        assert properties["KmsMasterKeyId"]["Fn::If"][:2] == ["HasQueueKey", {"Ref": "QueueKeyArn"}]
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


@pytest.mark.parametrize("part", PARTS)
def test_every_template_keeps_our_own_rules(part: stacks.Template) -> None:
    assert faults(TEMPLATES[part]) == []


def test_the_rules_find_what_they_are_for() -> None:
    """Each one broken once, in a template that is in order otherwise."""

    def broken(change: Callable[[dict[str, Any]], None], part: stacks.Template = "capture") -> list[str]:
        changed = copy.deepcopy(TEMPLATES[part])
        change(changed["Resources"])
        return [fault.partition(": ")[2] for fault in faults(changed)]

    def policy(resources: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = resources["ForwarderRole"]["Properties"]["Policies"][0]["PolicyDocument"]
        return found["Statement"][0]

    assert broken(lambda made: policy(made).update(Resource="*")) != []
    assert broken(lambda made: policy(made).update(Action="dynamodb:*")) == ["grants dynamodb:*"]
    assert broken(lambda made: policy(made).update(NotAction="x")) == ["grants by what it leaves out"]
    assert broken(lambda made: policy(made).update(Principal="*")) == ["grants to everybody"]
    assert broken(lambda made: made["Queue"]["Properties"].pop("KmsMasterKeyId")) != []
    assert broken(lambda made: made["ForwarderRole"]["Properties"].pop("PermissionsBoundary")) != []
    assert broken(lambda made: made["Queue"].update(DeletionPolicy="Retain")) != []


def test_a_star_has_its_reason_beside_it() -> None:
    for part in PARTS:
        lines = stacks.template_body(part).splitlines()
        stars = [line for line in lines if re.search(r'(Resource|Principal): "\*"', line)]
        told = [line for line in stars if "# " in line or 'Principal: "*"' in line]
        assert told == stars, part


GIVEN = {
    "HasBoundary": "PermissionsBoundary",
    "HasBucketKey": "BucketKeyArn",
    "HasLogKey": "LogKeyArn",
    "HasQueueKey": "QueueKeyArn",
    "HasRoleName": "RoleName",
    "HasTableKey": "TableKeyArn",
}


@pytest.mark.parametrize("part", PARTS)
def test_what_is_given_is_what_the_resource_has(part: stacks.Template) -> None:
    """Whoever names a key or a boundary gets it: no condition asks for anything else."""
    conditions = TEMPLATES[part]["Conditions"]
    for name in GIVEN.keys() & set(conditions):
        assert conditions[name] == {"Fn::Not": [{"Fn::Equals": [{"Ref": GIVEN[name]}, ""]}]}
        uses = [
            node["Fn::If"]
            for node in walk(TEMPLATES[part]["Resources"])
            if isinstance(node, dict) and node.get("Fn::If", [""])[0] == name
        ]
        assert any({"Ref": GIVEN[name]} in walk(use[1]) for use in uses), name


@pytest.mark.parametrize("part", PARTS)
def test_the_page_has_every_parameter_with_its_default(part: stacks.Template) -> None:
    section = PAGE.partition(f"\n### `{part}`: ")[2].partition("\n### ")[0]
    told = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", section, re.MULTILINE))

    assert told == {
        name: {None: "required", "": "empty"}.get(one.get("Default"), f"`{one.get('Default')}`")
        for name, one in TEMPLATES[part]["Parameters"].items()
    }


def test_a_template_that_was_changed_has_another_version() -> None:
    found = {}
    for part in PARTS:
        version = TEMPLATES[part]["Outputs"]["TemplateVersion"]["Value"]
        made_of = copy.deepcopy(TEMPLATES[part])
        for resource in made_of["Resources"].values():
            resource.pop("Metadata", None)
        digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:16]
        found[part] = (version, digest)

    assert found == VERSIONS, "give what you have changed its next version, and write it down here"


def test_facts_are_written_of_the_own_pair_only() -> None:
    found = [one for _, one in statements() if one.get("Resource") == {"Ref": "StateTableArn"}]
    (of_the_whole,) = [one for one in found if one["Sid"] == "WhetherItWasCutOver"]
    assert of_the_whole["Action"] == "dynamodb:GetItem"
    whole = of_the_whole["Condition"]["ForAllValues:StringEquals"]["dynamodb:LeadingKeys"]
    assert whole == [names.MIGRATION]
    found.remove(of_the_whole)
    assert len(found) == 3
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
    assert len(set(roles)) == len(set(logs)) == len(roles) == 3
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
        for _, properties in of_type(kind):
            # A role's may be given, whole; `ddbverify.config` knows how long it can become.
            given = properties.get(named, {"Ref": "AWS::NoValue"})
            assert given.get("Fn::If", [given])[-1] == {"Ref": "AWS::NoValue"}


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


def test_an_audit_that_is_missing_rings() -> None:
    """Fail closed: an auditor that nobody calls tells nothing, and that is the alarm."""
    alarms = {one["MetricName"]: one for _, one in of_type("AWS::CloudWatch::Alarm", "audit")}
    assert set(alarms) == {"AuditAgeSeconds", "Errors", "AuditFindings"}
    age = alarms["AuditAgeSeconds"]
    assert age["TreatMissingData"] == "breaching"
    assert EVERY_SECONDS < age["Threshold"] < stream.KEEPS_SECONDS - age["Period"] * age["EvaluationPeriods"]
    for one in alarms.values():
        assert one["ComparisonOperator"] == "GreaterThanThreshold"
        assert one["AlarmActions"]["Fn::If"][0] == "HasTopic"


def test_the_schedule_may_call_the_auditor_and_nothing_else() -> None:
    ((_, role),) = [one for one in of_type("AWS::IAM::Role", "audit") if one[0] == "ScheduleRole"]
    ((statement,),) = [one["PolicyDocument"]["Statement"] for one in role["Policies"]]
    assert (statement["Action"], statement["Resource"]) == (
        "lambda:InvokeFunction",
        {"Fn::GetAtt": ["Auditor", "Arn"]},
    )
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}
    assert trust["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    schedule = only("AWS::Scheduler::Schedule", "audit")
    assert schedule["ScheduleExpression"] == {"Ref": "Schedule"}
    assert default("audit", "Schedule") == f"rate({AGAIN_SECONDS // 60} minutes)"
    assert schedule["Target"]["RoleArn"] == {"Fn::GetAtt": ["ScheduleRole", "Arn"]}
    assert only("AWS::Lambda::Function", "audit")["Timeout"] == {"Ref": "Timeout"}
    assert default("audit", "Timeout") == AGAIN_SECONDS, "a call has ended when the next one may begin"


def test_a_verification_that_is_missing_or_fails_rings() -> None:
    """Fail closed: a build that nobody starts tells nothing, and that is an alarm of its own."""
    alarms = {one["MetricName"]: one for _, one in of_type("AWS::CloudWatch::Alarm", "verify")}
    assert set(alarms) == {"FailedBuilds", "SucceededBuilds"}
    age, failed = alarms["SucceededBuilds"], alarms["FailedBuilds"]
    assert (age["Statistic"], age["ComparisonOperator"], age["Threshold"]) == ("Sum", "LessThanThreshold", 1)
    assert (age["Period"], age["EvaluationPeriods"]) == (3600, {"Ref": "AlarmHours"})
    assert (age["TreatMissingData"], failed["TreatMissingData"]) == ("breaching", "notBreaching")
    assert (failed["ComparisonOperator"], failed["Threshold"]) == ("GreaterThanThreshold", 0)
    every, alarm = (TEMPLATES["verify"]["Parameters"][name] for name in ("EveryHours", "AlarmHours"))
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html: seven days.
    assert 2 * every["MaxValue"] == alarm["MaxValue"] == 7 * 24
    for one in alarms.values():
        assert one["Dimensions"] == [{"Name": "ProjectName", "Value": {"Ref": "Verifier"}}]
        assert one["AlarmActions"]["Fn::If"][0] == "HasTopic"


def test_a_build_verifies_alone_without_privileges_and_holds_no_secret() -> None:
    build = only("AWS::CodeBuild::Project", "verify")
    assert build["ConcurrentBuildLimit"] == 1
    assert build["Environment"]["PrivilegedMode"] is False
    assert [one["Name"] for one in build["Environment"]["EnvironmentVariables"]] == ["RUNS_BUCKET"]
    assert build["Artifacts"] == {"Type": "NO_ARTIFACTS"}
    assert build["LogsConfig"]["CloudWatchLogs"]["GroupName"] == {"Ref": "VerifierLogs"}
    ((_, schedule),) = [one for one in of_type("AWS::IAM::Role", "verify") if one[0] == "ScheduleRole"]
    ((statement,),) = [one["PolicyDocument"]["Statement"] for one in schedule["Policies"]]
    assert (statement["Action"], statement["Resource"]) == (
        "codebuild:StartBuild",
        {"Fn::GetAtt": ["Verifier", "Arn"]},
    )
    for _, role in of_type("AWS::IAM::Role", "verify"):
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}


def test_a_build_may_do_what_the_page_grants_the_verifier_and_writes_runs_only() -> None:
    """The policies of docs/permissions.md for who runs the checks, and the bucket: nothing else."""
    page = (docs_folder() / "permissions.md").read_text(encoding="utf-8")
    section = page.partition("\n## The verifier\n")[2].partition("\n## ")[0]
    granted = set(re.findall(r'"([a-z0-9-]+:[A-Z]\w+)"', section))
    found = {
        action
        for name, one in template_rules.statements(TEMPLATES["verify"])
        if name == "VerifierRole" and "Principal" not in one and one["Sid"] != "DecryptTables"
        for action in template_rules.listed(one["Action"])
    }
    of_the_build = {"logs:CreateLogStream", "logs:PutLogEvents", "kms:Decrypt", "kms:GenerateDataKey"}
    of_the_bucket = {
        "GetObject",
        "GetObjectVersion",
        "PutObject",
        "ListBucket",
        "GetBucketAcl",
        "GetBucketLocation",
    }
    assert found == granted | of_the_build | {f"s3:{one}" for one in of_the_bucket}
    (put,) = [
        one
        for one in walk(TEMPLATES["verify"])
        if isinstance(one, dict) and one.get("Sid") == "FetchAndKeepRuns"
    ]
    assert put["Resource"]["Fn::Sub"].endswith("${BundleBucket}/runs/*")


@pytest.mark.parametrize(
    ("part", "service"), [("capture", "forwarder"), ("apply", "consumer"), ("audit", "auditor")]
)
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
