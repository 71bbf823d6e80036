"""Others deploy what `synth` writes; `up` and `restore` take it and carry the migration, without IAM."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import botocore.client
import pytest

from ddbverify.errors import Refused
from replicator.commands import audit, synth
from replicator.commands.doctor import doctor
from replicator.stack import stacks
from tests.replicator.migrations import SOURCE_REGION, TARGET_REGION, Migration
from tests.replicator.stack.template_rules import parsed

pytestmark = pytest.mark.engine("ministack")

ROOT = Path(__file__).parents[3]


class Operator:
    """What the commands have called: service and operation; the other team's calls are its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.called: set[tuple[str, str]] = set()
        self.listening = True
        call = botocore.client.BaseClient._make_api_call

        def recorded(client: Any, operation: str, arguments: Any) -> Any:
            if self.listening:
                self.called.add((client.meta.service_model.service_name, operation))
            return call(client, operation, arguments)

        monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", recorded)


class Team:
    """The other team: it deploys what `synth` writes, with a tool of its own that spells it as JSON."""

    def __init__(self, migration: Migration, operator: Operator, folder: Path) -> None:
        self.migration, self.operator, self.folder = migration, operator, folder

    def cloudformation(self, name: str) -> Any:
        region = TARGET_REGION if name.endswith("-target") else SOURCE_REGION
        return self.migration.aws.client("cloudformation", region)

    def deploy(self) -> list[str]:
        """Deploy all that is written by now, and say which stacks wait."""
        self.operator.listening = False
        answer = synth.synth(self.migration.context(), rendered="cloudformation", out=self.folder)
        for name in answer["stacks"]:
            stacks.deploy(
                self.cloudformation(name),
                name,
                json.dumps(parsed((self.folder / f"{name}.yaml").read_text())),
                {
                    row["ParameterKey"]: row["ParameterValue"]
                    for row in json.loads((self.folder / f"{name}.parameters.json").read_text())
                },
                migration=self.migration.name,
            )
        self.operator.listening = True
        return sorted(answer["waiting"])

    def remove(self, *parts: str) -> None:
        self.operator.listening = False
        for name in (self.name(part) for part in parts):
            stacks.delete(self.cloudformation(name), name)
        self.operator.listening = True

    def name(self, part: str) -> str:
        pair = "" if part in ("base", "dashboard") else f"-{self.migration.pair.id}"
        return f"replicator-{self.migration.name}{pair}-{part}"


@pytest.fixture
def begun(aws, unique, tmp_path, monkeypatch):
    for name, value in aws.variables(SOURCE_REGION).items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(tmp_path)
    made = Migration(aws, unique("d"), tmp_path)
    made.configure()
    path = tmp_path / "migration.toml"
    path.write_text(path.read_text() + "[stack]\ndeployed = true\n")
    for number in range(20):
        made.put(f"k{number}", f"v{number}")
    return made


@pytest.fixture
def operator(monkeypatch):
    return Operator(monkeypatch)


@pytest.fixture
def team(begun, operator, tmp_path):
    made = Team(begun, operator, tmp_path / "stacks")
    yield made
    made.remove("dashboard", "apply", "target", "capture")
    begun.down()
    made.remove("base")


def busy(migration):
    def write(number):
        key = f"k{number % 30}"
        if number % 7 == 3:
            migration.remove(key)
        else:
            migration.put(key, f"w{number}")

    return migration.traffic(write)


def refused(call, *, match):
    with pytest.raises(Refused, match=match) as caught:
        call()
    return caught.value


def test_an_operator_without_iam_moves_a_table_through_the_stacks_of_others(begun, operator, team, capsys):
    refused(begun.up, match=r"The stack \S+-base is not deployed")
    assert [name.rpartition("-")[2] for name in team.deploy()] == ["apply", "capture", "target"]
    with busy(begun):
        error = refused(begun.up, match=r"The stack \S+-capture is not deployed")
        assert "replicator synth" in error.hint
        assert [name.rpartition("-")[2] for name in team.deploy()] == ["apply"]
        capsys.readouterr()
        begun.up()
        said = capsys.readouterr().err
        assert "the forwarder has sent a canary on" in said
        assert "other readers" not in said, "its own forwarder, which is there already, is none"
        assert "will get the canary" not in said
        refused(begun.restore, match=r"The stack \S+-apply is not deployed")
        assert team.deploy() == []
        begun.restore()
    begun.assert_equal()  # nothing is lost, nothing has come back, nothing is stale
    found = audit.run(begun.context(), begun.pair)
    assert (found.lost, found.gap) == ([], "")

    services = {service for service, _ in operator.called}
    assert "cloudformation" in services, "the calls are seen"
    assert "iam" not in services
    changing = {name for service, name in operator.called if service == "cloudformation"}
    assert changing == {"DescribeStacks"}
    assert not {name for service, name in operator.called if service == "lambda"} & {
        "CreateFunction",
        "UpdateFunctionCode",
        "UpdateFunctionConfiguration",
        "CreateEventSourceMapping",
    }
    asked = {action_of(*call) for call in operator.called} - {"sts:GetCallerIdentity"}
    phases = ("### Every command", "### Phase 1", "### Phase 2", "### The target's fence", "### Audit")
    assert asked <= SMALL | permitted(*phases), "what is called is on the page"
    of_down = {"s3:DeleteObject", "s3:ListBucket"}
    assert of_down | {"cloudformation:DescribeStackResourceDrifts"} == SMALL - asked, "and no more than that"
    assert not [action for action in SMALL | permitted(*phases) if action.startswith("iam:")]
    assert begun.restore(), "again, it takes them again"
    looked = [one for one in doctor(begun.context())["findings"] if one["check"] == "stacks"]
    assert {one["state"] for one in looked} == {"ok"}, "of this build, however they are spelt"
    error = refused(begun.down, match="Others have deployed the stacks")
    assert team.name("apply") in error.message


def test_each_fault_is_one_sentence_before_anything_goes_on(begun, operator, team):
    """Other parameters, an older template, other code, another role, another queue."""
    refused(begun.up, match="is not deployed")
    team.deploy()
    refused(begun.up, match="-capture is not deployed")
    team.deploy()
    operator.listening = False
    name = team.name("capture")
    cloudformation = team.cloudformation(name)
    described = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    given = {one["ParameterKey"]: one["ParameterValue"] for one in described["Parameters"]}
    text = stacks.template_body("capture")

    def deploy(body: str = text, **other: str) -> None:
        stacks.deploy(cloudformation, name, body, given | other, migration=begun.name)

    deploy(Groups="7")
    refused(begun.up, match=r"was deployed with Groups = '7' instead of '2'")
    deploy(MemorySize="256")
    refused(begun.up, match=r"MemorySize = '256' instead of '512'")
    deploy(re.sub(r'(TemplateVersion:\n.*\n    Value: )"\d+"', r'\1"0"', text))
    refused(begun.up, match="was deployed from version 0 of its template; this build has")
    deploy(re.sub(r'(TemplateVersion:\n.*\n    Value: )"\d+"', r'\1"99"', text))
    refused(begun.up, match="from version 99 of its template; this build knows")
    deploy()
    outputs = stacks.outputs(cloudformation, name)
    functions = begun.aws.client("lambda", SOURCE_REGION)
    right = functions.get_function_configuration(FunctionName=outputs["Forwarder"])
    variables = right["Environment"]["Variables"]
    functions.update_function_configuration(
        FunctionName=outputs["Forwarder"], Environment={"Variables": {**variables, "QUEUE_URL": "http://x/y"}}
    )
    refused(begun.up, match=r"works on something else than \S+ says: QUEUE_URL")
    functions.update_function_configuration(
        FunctionName=outputs["Forwarder"],
        Environment={"Variables": variables},
        Role="arn:aws:iam::123456789012:role/somebody-elses",
    )
    refused(begun.up, match="runs with another role than its stack")
    functions.update_function_configuration(FunctionName=outputs["Forwarder"], Role=right["Role"])
    begun.up()


def permitted(*headings: str) -> set[str]:
    """The actions of some sections of docs/permissions.md."""
    page = (ROOT / "docs" / "permissions.md").read_text(encoding="utf-8")
    found: set[str] = set()
    for heading in headings:
        level = heading.partition(" ")[0]
        text = page.partition(f"\n{heading}\n")[2]
        assert text, heading
        section = re.split(rf"\n#{{2,{len(level)}}} ", text)[0]
        for block in re.findall(r"```json\n(.*?)```", section, re.DOTALL):
            for one in json.loads(block)["Statement"]:
                actions = one["Action"]
                found |= {actions} if isinstance(actions, str) else set(actions)
    return found


SMALL = permitted("## The operator where others deploy")


def action_of(service: str, operation: str) -> str:
    """The action of IAM that a request needs, where the two differ in name."""
    if (service, operation) == ("s3", "ListObjectsV2"):
        return "s3:ListBucket"
    if (service, operation) == ("s3", "HeadObject"):
        return "s3:GetObject"
    return f"{ {'dynamodbstreams': 'dynamodb'}.get(service, service) }:{operation}".replace(" ", "")
