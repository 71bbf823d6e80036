"""Stacks on the embedded AWS, with roles and policies enforced; odd statuses on a scripted client."""

from __future__ import annotations

import fnmatch
import io
import itertools
import json
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ddbverify import names
from ddbverify.config import Config, Pair, Stack
from ddbverify.errors import ConfigurationError, EngineError, NotFoundError
from replicator.embedded.aws import EmbeddedAws
from replicator.stack import settings, stacks, storage
from replicator.stack.bundle import Bundle

HOME, AWAY = "eu-west-1", "eu-central-1"
OTHER_ACCOUNT = "210987654321"

# Handlers that use every permission their roles should have, and say what they were refused.
FORWARDER = """
import json, os, boto3
from botocore.exceptions import ClientError

dynamodb, sqs = boto3.client("dynamodb"), boto3.client("sqs")
PK = {"S": "pair#" + os.environ["PAIR"]}

def refused(call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return ""

def handler(event, context):
    print("forwarding", len(event["Records"]))
    entries = [
        {
            "Id": str(n),
            "MessageBody": json.dumps(record["dynamodb"]),
            "MessageGroupId": "g",
            "MessageDeduplicationId": record["dynamodb"]["SequenceNumber"],
        }
        for n, record in enumerate(event["Records"])
    ]
    for start in range(0, len(entries), 10):
        answer = sqs.send_message_batch(QueueUrl=os.environ["QUEUE_URL"], Entries=entries[start : start + 10])
        assert not answer.get("Failed"), answer
    dynamodb.put_item(TableName=os.environ["STATE_TABLE"], Item={
        "pk": PK, "sk": {"S": "forwarder"}, "env": {"S": json.dumps(dict(os.environ))},
        "refused": {"S": refused(dynamodb.scan, TableName=os.environ["SOURCE_TABLE"])},
    })
    return {"batchItemFailures": []}
"""
CONSUMER = """
import json, os, boto3
from botocore.exceptions import ClientError

dynamodb = boto3.client("dynamodb")
target = boto3.client("dynamodb", region_name=os.environ["TARGET_REGION"])
if os.environ["WRITER_ROLE"]:
    sts = boto3.client("sts")
    role = sts.assume_role(RoleArn=os.environ["WRITER_ROLE"], RoleSessionName="test")["Credentials"]
    target = boto3.client(
        "dynamodb", region_name=os.environ["TARGET_REGION"], aws_access_key_id=role["AccessKeyId"],
        aws_secret_access_key=role["SecretAccessKey"], aws_session_token=role["SessionToken"],
    )
PK = {"S": "pair#" + os.environ["PAIR"]}

def refused(call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return ""

def handler(event, context):
    print("consuming", len(event["Records"]))
    state, source = os.environ["STATE_TABLE"], os.environ["SOURCE_TABLE"]
    for record in event["Records"]:
        change = json.loads(record["body"])
        item = dynamodb.get_item(TableName=source, Key=change["Keys"], ConsistentRead=True)["Item"]
        target.transact_write_items(TransactItems=[
            {"Put": {"TableName": os.environ["TARGET_TABLE"], "Item": item}},
            {"Put": {
                "TableName": os.environ["LEDGER_TABLE"],
                "Item": {"pk": item["id"], "n": {"S": change["SequenceNumber"].zfill(40)}},
            }},
        ])
        target.batch_get_item(RequestItems={os.environ["LEDGER_TABLE"]: {"Keys": [{"pk": item["id"]}]}})
    dynamodb.update_item(TableName=state, Key={"pk": PK, "sk": {"S": "counters"}},
        UpdateExpression="ADD applied :n",
        ExpressionAttributeValues={":n": {"N": str(len(event["Records"]))}})
    dynamodb.put_item(TableName=state, Item={"pk": PK, "sk": {"S": "gone"}})
    dynamodb.delete_item(TableName=state, Key={"pk": PK, "sk": {"S": "gone"}})
    dynamodb.put_item(TableName=state, Item={
        "pk": PK, "sk": {"S": "consumer"}, "env": {"S": json.dumps(dict(os.environ))},
        "refused": {"S": refused(dynamodb.put_item, TableName=source, Item=item)},
    })
    return {"batchItemFailures": []}
"""


def zipped(forwarder: str = FORWARDER, consumer: str = CONSUMER) -> Bundle:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("replicator/__init__.py", "")
        archive.writestr("replicator/forwarder.py", forwarder)
        archive.writestr("replicator/consumer.py", consumer)
    return Bundle.of(buffer.getvalue())


def until(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 30
    while not (found := look()):
        if time.monotonic() > deadline:
            pytest.fail("it did not happen within 30 s", pytrace=False)
        time.sleep(0.05)
    return found


@dataclass
class Site:
    """One migration of one pair on the embedded AWS, deployed part by part."""

    aws: EmbeddedAws
    target_aws: EmbeddedAws
    migration: str = field(default_factory=lambda: "t" + uuid.uuid4().hex[:8])
    lines: list[str] = field(default_factory=list)
    tags: Mapping[str, str] = field(default_factory=dict)
    clients: dict[tuple[str, str, str], Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.source, self.target = f"{self.migration}-source", f"{self.migration}-target"
        self.pair = names.pair_id(self.source, self.target)
        self.bundle = zipped()

    def client(self, aws: EmbeddedAws, service: str, region: str) -> Any:
        """One client of each kind: a new one takes longer than most of what is asked of it."""
        key = (aws.account_id, service, region)
        if key not in self.clients:
            self.clients[key] = aws.client(service, region)
        return self.clients[key]

    def home(self, service: str) -> Any:
        return self.client(self.aws, service, HOME)

    def away(self, service: str) -> Any:
        return self.client(self.target_aws, service, AWAY)

    def cloudformation(self, part: str) -> Any:
        return self.away("cloudformation") if part == "target" else self.home("cloudformation")

    def name(self, part: str) -> str:
        return names.stack_name(self.migration, part, None if part == "base" else self.pair)

    def deploy(self, part: stacks.Template, parameters: Mapping[str, str | int]) -> dict[str, str]:
        return stacks.deploy(
            self.cloudformation(part),
            self.name(part),
            stacks.template_body(part),
            parameters,
            migration=self.migration,
            tags=self.tags,
            progress=self.lines.append,
        )

    def tables(self) -> str:
        """Make source (with a stream) and target; returns the stream's ARN."""
        common = {
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "BillingMode": "PAY_PER_REQUEST",
        }
        made = self.home("dynamodb").create_table(
            TableName=self.source,
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
            **common,
        )
        self.away("dynamodb").create_table(TableName=self.target, **common)
        return str(made["TableDescription"]["LatestStreamArn"])

    def base(self, **more: str | int) -> dict[str, str]:
        found = self.deploy("base", {"StateTableName": names.state_table(self.migration), **more})
        storage.upload(self.home("s3"), found["BundleBucket"], self.bundle)
        return found

    def code(self, base: Mapping[str, str]) -> dict[str, str]:
        return {
            "StateTableArn": base["StateTableArn"],
            "BundleBucket": base["BundleBucket"],
            "BundleKey": self.bundle.key,
        }

    def capture(self, base: Mapping[str, str], stream: str, **more: str | int) -> dict[str, str]:
        return self.deploy(
            "capture",
            {
                "Migration": self.migration,
                "Pair": self.pair,
                "StreamArn": stream,
                "StreamViewType": "NEW_IMAGE",
                "KeySchema": json.dumps({"id": "S"}),
                "BatchingWindow": 0,
                **self.code(base),
                **more,
            },
        )

    def target_arn(self) -> str:
        return f"arn:aws:dynamodb:{AWAY}:{self.target_aws.account_id}:table/{self.target}"

    def beside_target(self) -> dict[str, str]:
        return self.deploy(
            "target",
            {
                "Migration": self.migration,
                "Pair": self.pair,
                "TargetTableArn": self.target_arn(),
                "SourceAccount": "" if self.aws is self.target_aws else self.aws.account_id,
            },
        )

    def apply(
        self,
        base: Mapping[str, str],
        capture: Mapping[str, str],
        beside: Mapping[str, str],
        **more: str | int,
    ) -> dict[str, str]:
        return self.deploy(
            "apply",
            {
                "Migration": self.migration,
                "Pair": self.pair,
                "StreamArn": capture["StreamArn"],
                "Boundary": 1_700_000_000,
                "QueueArn": capture["QueueArn"],
                "SourceTableArn": capture["StreamArn"].partition("/stream/")[0],
                "SourceKeys": json.dumps({"id": "S"}),
                "TargetTableArn": self.target_arn(),
                "TargetKeys": json.dumps({"id": "S"}),
                "LedgerTableArn": beside["LedgerTableArn"],
                "WriterRoleArn": beside.get("WriterRoleArn", ""),
                **self.code(base),
                **more,
            },
        )

    def fact(self, sort_key: str) -> dict[str, Any]:
        """A fact of the pair, empty while it is not there."""
        answer = self.home("dynamodb").get_item(
            TableName=names.state_table(self.migration),
            Key={"pk": {"S": names.pair_pk(self.pair)}, "sk": {"S": sort_key}},
        )
        return dict(answer.get("Item", {}))

    def remove(self) -> None:
        for part in ("apply", "target", "capture"):
            stacks.delete(self.cloudformation(part), self.name(part), progress=self.lines.append)
        if stacks.exists(self.cloudformation("base"), self.name("base")):
            bucket = stacks.outputs(self.cloudformation("base"), self.name("base"))["BundleBucket"]
            storage.empty(self.home("s3"), bucket)
        stacks.delete(self.cloudformation("base"), self.name("base"), progress=self.lines.append)


@pytest.fixture(params=["one account", "two accounts"])
def site(aws: EmbeddedAws, request: pytest.FixtureRequest) -> Iterator[Site]:
    made = Site(aws, aws if request.param == "one account" else aws.as_account(OTHER_ACCOUNT))
    yield made
    made.remove()


@pytest.fixture
def small(aws: EmbeddedAws) -> Iterator[Site]:
    made = Site(aws, aws)
    yield made
    made.remove()


def everything(client: Callable[[str], Any]) -> dict[str, set[str]]:
    """Names of all resources of the kinds that our stacks hold."""
    functions = client("lambda")
    return {
        "tables": set(client("dynamodb").list_tables()["TableNames"]),
        "queues": set(client("sqs").list_queues().get("QueueUrls", [])),
        "functions": {one["FunctionName"] for one in functions.list_functions()["Functions"]},
        "mappings": {one["UUID"] for one in functions.list_event_source_mappings()["EventSourceMappings"]},
        "roles": {one["RoleName"] for one in client("iam").list_roles()["Roles"]},
        "buckets": {one["Name"] for one in client("s3").list_buckets()["Buckets"]},
        "logs": {one["logGroupName"] for one in client("logs").describe_log_groups()["logGroups"]},
    }


@pytest.mark.engine("ministack")
def test_a_change_goes_the_whole_way_with_no_more_than_its_roles_allow(site: Site) -> None:
    stream = site.tables()
    before = everything(site.home), everything(site.away)
    base = site.base()
    capture = site.capture(base, stream)
    beside = site.beside_target()
    assert ("WriterRoleArn" in beside) == (site.aws is not site.target_aws)
    apply = site.apply(base, capture, beside)
    functions = site.home("lambda")
    for name in (capture["Forwarder"], apply["Consumer"]):
        stacks.check_code(functions, name, site.bundle.sha256_base64)

    item = {"id": {"S": "a"}, "n": {"N": "1"}}
    site.home("dynamodb").put_item(TableName=site.source, Item=item)
    forwarded = until(lambda: site.fact("forwarder"))
    assert forwarded["refused"]["S"] == "AccessDeniedException"
    assert not site.fact("consumer")  # off by default

    site.apply(base, capture, beside, Enabled="true")
    consumed = until(lambda: site.fact("consumer"))
    assert consumed["refused"]["S"] == "AccessDeniedException"
    assert site.fact("counters")["applied"] == {"N": "1"}
    target = site.away("dynamodb")
    assert target.get_item(TableName=site.target, Key={"id": {"S": "a"}})["Item"] == item
    assert "Item" in target.get_item(TableName=beside["LedgerTable"], Key={"pk": {"S": "a"}})

    told = json.loads(forwarded["env"]["S"])
    assert told["QUEUE_URL"] == capture["QueueUrl"]
    assert (told["SOURCE_TABLE"], told["STREAM_ARN"], told["STREAM_VIEW"]) == (
        site.source,
        stream,
        "NEW_IMAGE",
    )
    assert (told["KEY_SCHEMA"], told["GROUPS"], told["RESTART"]) == ('{"id": "S"}', "32", "0")
    told = json.loads(consumed["env"]["S"])
    assert (told["TARGET_TABLE"], told["TARGET_REGION"]) == (site.target, AWAY)
    assert (told["LEDGER_TABLE"], told["BOUNDARY"]) == (beside["LedgerTable"], "1700000000")
    assert (told["TRANSFORM"], told["REKEYS"]) == ("", "false")

    site.remove()
    assert (everything(site.home), everything(site.away)) == before


@pytest.mark.engine("ministack")
def test_what_the_settings_give_is_what_is_made(small: Site) -> None:
    """Role, keys, memory, tags; ministack passes over the boundary and the key of the table."""
    keys = [small.home("kms").create_key()["KeyMetadata"]["Arn"] for _ in range(2)]
    pair = Pair(small.source, small.target)
    config = Config(
        name=small.migration,
        tables=(pair,),
        stack=Stack(
            permissions_boundary="arn:aws:iam::123456789012:policy/team",
            role_path="/migrations/",
            role_prefix="acme-",
            table_key=keys[0],
            queue_key=keys[1],
            log_key=keys[0],
            bucket_key=keys[1],
            log_retention=7,
            forwarder_memory=256,
            tags={"team": "shop"},
        ),
    )
    stream = small.tables()
    small.tags = config.stack.tags
    base = small.base(**settings.of_base(config))
    capture = small.capture(base, stream, **settings.of_capture(config, pair))

    called = f"acme-{small.migration}-{pair.id}-forwarder"
    role = small.home("iam").get_role(RoleName=called)["Role"]
    assert role["Path"] == "/migrations/"
    assert capture["ForwarderRoleArn"] == role["Arn"]
    assert fnmatch.fnmatchcase(role["Arn"].rpartition(":")[2], settings.role_resources(config))
    policy = small.home("iam").get_role_policy(RoleName=called, PolicyName="forwarder")["PolicyDocument"]
    sids = {one["Sid"] for one in policy["Statement"]}
    assert {"EncryptForTheQueue", "ReadTheStateTable"} <= sids
    assert not {"InterfacesOfTheFunction", "LookAtInterfaces", "NotForTheCode"} & sids, "it is in no VPC"
    queue = small.home("sqs").get_queue_attributes(QueueUrl=capture["QueueUrl"], AttributeNames=["All"])
    assert queue["Attributes"]["KmsMasterKeyId"] == keys[1]
    function = small.home("lambda").get_function_configuration(FunctionName=capture["Forwarder"])
    assert function["MemorySize"] == 256
    described = small.home("cloudformation").describe_stacks(StackName=small.name("capture"))["Stacks"][0]
    assert {one["Key"]: one["Value"] for one in described["Tags"]} == {
        stacks.TAG: small.migration,
        "team": "shop",
    }


@pytest.mark.engine("ministack")
def test_names_and_tags_carry_the_migration(small: Site) -> None:
    base = small.base()
    capture = small.capture(base, small.tables())

    queue = capture["QueueUrl"].rpartition("/")[2]
    assert queue.startswith(f"replicator-{small.migration}-{small.pair}-")
    assert capture["Forwarder"].startswith("replicator-")
    attributes = small.home("sqs").get_queue_attributes(
        QueueUrl=capture["DeadLetterUrl"], AttributeNames=["RedriveAllowPolicy"]
    )["Attributes"]
    assert capture["QueueArn"] in json.loads(attributes["RedriveAllowPolicy"])["sourceQueueArns"]
    tags = small.home("sqs").list_queue_tags(QueueUrl=capture["QueueUrl"])["Tags"]
    assert tags[stacks.TAG] == small.migration
    tagged = small.home("dynamodb").list_tags_of_resource(ResourceArn=base["StateTableArn"])
    assert {"Key": stacks.TAG, "Value": small.migration} in tagged["Tags"]


@pytest.mark.engine("ministack")
def test_deploying_twice_changes_nothing_and_other_parameters_do(small: Site) -> None:
    stream = small.tables()
    base = small.base()
    first = small.capture(base, stream)
    small.lines.clear()

    assert small.capture(base, stream) == first
    assert small.lines == []

    assert small.capture(base, stream, Enabled="false", VisibilityTimeout=30) == first
    mapping = small.home("lambda").get_event_source_mapping(UUID=first["ForwarderMapping"])
    assert mapping["State"] == "Disabled"
    found = small.home("sqs").get_queue_attributes(
        QueueUrl=first["QueueUrl"], AttributeNames=["VisibilityTimeout"]
    )
    assert found["Attributes"] == {"VisibilityTimeout": "30"}
    assert any("is being changed" in line for line in small.lines)


@pytest.mark.engine("ministack")
def test_new_code_is_seen_by_its_key(small: Site) -> None:
    stream = small.tables()
    base = small.base()
    first = small.capture(base, stream)
    old = small.bundle
    small.bundle = zipped(FORWARDER + "\n# another\n")
    storage.upload(small.home("s3"), base["BundleBucket"], small.bundle)

    small.capture(base, stream)

    functions = small.home("lambda")
    stacks.check_code(functions, first["Forwarder"], small.bundle.sha256_base64)
    with pytest.raises(EngineError, match="does not run the code"):
        stacks.check_code(functions, first["Forwarder"], old.sha256_base64)


@pytest.mark.engine("ministack")
def test_a_function_without_code_is_found_out(small: Site) -> None:
    stream = small.tables()
    base = small.base()
    missing = zipped("# never uploaded")

    with pytest.raises(EngineError):  # noqa: PT012 - AWS refuses the stack, an emulator only has no code
        made = small.capture(base, stream, BundleKey=missing.key)
        stacks.check_code(small.home("lambda"), made["Forwarder"], missing.sha256_base64)


@pytest.mark.engine("ministack")
def test_a_refused_parameter_is_named_and_nothing_is_made(small: Site) -> None:
    base = small.base()

    with pytest.raises(EngineError, match="StreamArn"):
        small.capture(base, "not-a-stream")

    assert not stacks.exists(small.cloudformation("capture"), small.name("capture"))


FAILING = """
AWSTemplateFormatVersion: "2010-09-09"
Resources:
  Fine:
    Type: AWS::SQS::Queue
  Broken:
    Type: AWS::SQS::Queue
    DependsOn: Fine
    Properties:
      QueueName: no-suffix
      FifoQueue: true
"""
MENDED = FAILING.replace("no-suffix", "NAME.fifo")


@pytest.mark.engine("ministack")
def test_a_failed_create_tells_the_reasons_and_can_be_repeated(aws: EmbeddedAws) -> None:
    cloudformation = aws.client("cloudformation", HOME)
    name = f"replicator-{uuid.uuid4().hex[:8]}"

    with pytest.raises(EngineError, match=r"Broken \(AWS::SQS::Queue\): .*fifo") as caught:
        stacks.deploy(cloudformation, name, FAILING, {}, migration="m")
    assert "Fine (" not in caught.value.message
    assert stacks.exists(cloudformation, name)

    stacks.deploy(cloudformation, name, MENDED.replace("NAME", name), {}, migration="m")
    assert stacks.delete(cloudformation, name)
    assert not stacks.exists(cloudformation, name)
    assert not stacks.delete(cloudformation, name)
    with pytest.raises(NotFoundError):
        stacks.outputs(cloudformation, name)


@pytest.mark.engine("ministack")
def test_a_bucket_that_is_gone_is_empty(aws: EmbeddedAws) -> None:
    assert storage.empty(aws.client("s3", HOME), f"replicator-{uuid.uuid4().hex}") == 0


class Scripted:
    """A CloudFormation client whose stack goes through the statuses of a script, one per look."""

    def __init__(self, *statuses: str, after_delete: tuple[str, ...] = ("DELETE_COMPLETE",)) -> None:
        self.statuses, self.after_delete = list(statuses), list(after_delete)
        self.calls: list[str] = []
        self.events: list[dict[str, str]] = []
        self.meta = type("Meta", (), {"endpoint_url": "https://cloudformation.eu-west-1.amazonaws.com"})
        self._ids = itertools.count()

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803 - as boto3 calls it
        status = self.statuses[0] if self.statuses else "GONE"
        if len(self.statuses) > 1:
            self.statuses.pop(0)
        if status == "GONE" or (status == "DELETE_COMPLETE" and StackName == "s"):
            message = {"Error": {"Code": "ValidationError", "Message": "Stack with id s does not exist"}}
            raise ClientError(message, "DescribeStacks")
        if status.endswith("FAILED"):
            self.event("Part", status)
        return {"Stacks": [{"StackId": "id", "StackStatus": status}]}

    def event(self, part: str, status: str, reason: str = "because") -> None:
        self.events.insert(
            0,
            {
                "EventId": str(next(self._ids)),
                "LogicalResourceId": part,
                "ResourceType": "AWS::X::Y",
                "ResourceStatus": status,
                "ResourceStatusReason": reason,
            },
        )

    def describe_stack_events(self, StackName: str) -> dict[str, Any]:  # noqa: N803
        return {"StackEvents": list(self.events)}

    def get_paginator(self, name: str) -> Any:
        return type("Pages", (), {"paginate": lambda _, **request: [self.describe_stack_events(**request)]})()

    def create_stack(self, **request: Any) -> dict[str, str]:
        self.calls.append("create")
        self.statuses = ["CREATE_IN_PROGRESS", "CREATE_COMPLETE"]
        return {"StackId": "id"}

    def update_stack(self, **request: Any) -> None:
        self.calls.append("update")

    def delete_stack(self, StackName: str) -> None:  # noqa: N803
        self.calls.append("delete")
        self.statuses = list(self.after_delete)


def deploy(client: Scripted, **more: Any) -> list[str]:
    lines: list[str] = []
    stacks.deploy(client, "s", "body", {}, migration="m", progress=lines.append, poll_seconds=0, **more)
    return lines


@pytest.mark.parametrize(
    "status", ["ROLLBACK_COMPLETE", "CREATE_FAILED", "DELETE_FAILED", "REVIEW_IN_PROGRESS"]
)
def test_what_an_interrupted_attempt_left_is_removed_and_made_anew(status: str) -> None:
    client = Scripted(status)

    lines = deploy(client)

    assert client.calls == ["delete", "create"]
    assert any(status in line for line in lines)


def test_a_stack_that_is_still_moving_is_waited_for_and_then_updated() -> None:
    client = Scripted("CREATE_IN_PROGRESS", "CREATE_IN_PROGRESS", "CREATE_COMPLETE")

    lines = deploy(client)

    assert client.calls == ["update"]
    assert "waiting for it" in lines[0]


def test_a_rolled_back_update_tells_its_own_reasons_and_not_older_ones() -> None:
    client = Scripted("UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")
    client.event("Old", "UPDATE_FAILED", "long ago")

    def update(**request: Any) -> None:
        client.event("New", "UPDATE_FAILED", "a quota")
        client.event("Other", "UPDATE_FAILED", "Resource update cancelled")

    client.update_stack = update  # type: ignore[method-assign]
    with pytest.raises(EngineError, match="a quota") as caught:
        deploy(client)
    assert "long ago" not in caught.value.message
    assert "Other" not in caught.value.message


def test_what_cannot_be_removed_is_named() -> None:
    client = Scripted("CREATE_COMPLETE", after_delete=("DELETE_IN_PROGRESS", "DELETE_FAILED"))

    with pytest.raises(EngineError, match=r"Part \(AWS::X::Y\): because"):
        stacks.delete(client, "s", poll_seconds=0)


def test_waiting_has_an_end_that_says_how_to_go_on() -> None:
    with pytest.raises(EngineError, match="still in UPDATE_IN_PROGRESS") as caught:
        deploy(Scripted("UPDATE_IN_PROGRESS"), limit_seconds=-1)
    assert "goes on from there" in caught.value.hint


@pytest.mark.parametrize(("timeout", "visibility"), [(61, 60), (0, 60), (901, 43_200)])
def test_a_message_never_comes_back_while_it_is_worked_on(timeout: int, visibility: int) -> None:
    with pytest.raises(ConfigurationError):
        stacks.Timing(timeout, visibility)
