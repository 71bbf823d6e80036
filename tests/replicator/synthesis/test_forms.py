"""Every form deploys the same stacks: names, parameters, tags, templates, read by the rules of each tool."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from typing import Any

import hcl2
import pytest

from replicator.stack import stacks
from replicator.synthesis import cdk, cloudformation, sam, terraform
from replicator.synthesis.deployable import Deployable
from tests.replicator.stack.template_rules import faults, parsed

ODD = {
    "Migration": "shop",
    "KeySchema": '{"id": "S", "at": "N"}',
    "Transform": "",
    "Odd": "a ${b} %{c} 'd' \\ \"e\" ü",
}
STACKS = (
    Deployable(
        name="replicator-shop-base",
        region="eu-west-1",
        side="source",
        parameters={"StateTableName": "replicator-shop-state"},
        tags={"replicator:migration": "shop", "team": "shop & co"},
        text=stacks.template_body("base"),
    ),
    Deployable(
        name="replicator-shop-orders-1a2b3c4d-target",
        region="eu-central-1",
        side="target",
        parameters=ODD,
        tags={"replicator:migration": "shop"},
        text=stacks.template_body("target"),
    ),
    Deployable(
        name="replicator-shop-dashboard",
        region="eu-west-1",
        side="source",
        parameters={},
        tags={"replicator:migration": "shop"},
        text="Resources: {}\n",
    ),
)
FORMS = {"cloudformation": cloudformation, "sam": sam, "cdk": cdk, "terraform": terraform}

# As `sam` reads a pair: samcli/cli/types.py of aws-sam-cli 1.
SAM_VALUE = r"""("(?:\\.|[^"\\]+)*"|'(?:\\.|[^'\\]+)*'|(?:\\.|[^ "\\]+)+)"""


def of_cloudformation(files: dict[str, str]) -> dict[str, dict[str, Any]]:
    found = {}
    for call in files["deploy.sh"].split("\naws ")[1:]:
        words = shlex.split(call.replace("\\\n", " ").split("${", 1)[0])
        name, region, file = (
            words[words.index(f"--{key}") + 1] for key in ("stack-name", "region", "template-file")
        )
        parameters: list[dict[str, str]] = []
        if "--parameter-overrides" in words:
            named = words[words.index("--parameter-overrides") + 1]
            parameters = json.loads(files[named.removeprefix("file://")])
        found[name] = {
            "region": region,
            "file": file,
            "parameters": {one["ParameterKey"]: one["ParameterValue"] for one in parameters},
            "tags": dict(one.split("=", 1) for one in words[words.index("--tags") + 1 :] if "=" in one),
        }
    return found


def of_sam(files: dict[str, str]) -> dict[str, dict[str, Any]]:
    def pairs(text: str) -> dict[str, str]:
        plain = [
            tuple(re.sub(r'\\(["\' ])', r"\1", part[1:-1] if part[0] in "\"'" else part) for part in pair)
            for pair in re.findall(rf"""("(?:\\.|[^"\\]+)*"|[A-Za-z0-9]+)={SAM_VALUE}""", text)
        ]
        return dict(plain)  # type: ignore[arg-type]

    document = tomllib.loads(files["samconfig.toml"])
    return {
        name: {
            "region": one["deploy"]["parameters"]["region"],
            "file": one["deploy"]["parameters"]["template_file"],
            "parameters": pairs(one["deploy"]["parameters"].get("parameter_overrides", "")),
            "tags": pairs(one["deploy"]["parameters"]["tags"]),
        }
        for name, one in document.items()
        if name != "version"
    }


def of_cdk(files: dict[str, str]) -> dict[str, dict[str, Any]]:
    call = re.compile(r"^new IncludedStack\(app, (\".+?\"), (\{.*?^\})\);", re.MULTILINE | re.DOTALL)
    calls = call.findall(files["app.ts"])
    found = {json.loads(name): json.loads(properties) for name, properties in calls}
    return {
        one["stackName"]: {
            "region": one["env"]["region"],
            "file": one["templateFile"],
            "parameters": one["values"],
            "tags": one["tags"],
        }
        for one in found.values()
    }


def of_terraform(files: dict[str, str]) -> dict[str, dict[str, Any]]:
    document = hcl2.loads(files["main.tf"])

    def text(value: str) -> str:
        inner = value[1:-1] if value.startswith('"') else value
        inner = re.sub(r"(\$|%)\1\{", r"\1{", inner)
        return str(json.loads(f'"{inner}"')) if value.startswith('"') else inner

    regions = {}
    for block in document["provider"]:
        ((_, one),) = [(key, value) for key, value in block.items() if not key.startswith("__")]
        regions[text(one["alias"])] = text(one["region"])
    found = {}
    for block in document["resource"]:
        ((_, labelled),) = [(key, value) for key, value in block.items() if not key.startswith("__")]
        ((_, one),) = [(key, value) for key, value in labelled.items() if not key.startswith("__")]
        provider = re.sub(r"[${}]", "", one["provider"]).removeprefix("aws.")
        found[text(one["name"])] = {
            "region": regions[provider],
            "file": re.search(r"/([^/\"]+)\"", one["template_body"])[1],  # type: ignore[index]
            "parameters": {text(key): text(value) for key, value in one.get("parameters", {}).items()},
            "tags": {text(key): text(value) for key, value in one["tags"].items()},
        }
    return found


READERS = {"cloudformation": of_cloudformation, "sam": of_sam, "cdk": of_cdk, "terraform": of_terraform}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_deploys_the_same_stacks(form: str) -> None:
    files = FORMS[form].files(STACKS)
    found = READERS[form](files)

    assert list(found) == [stack.name for stack in STACKS], "in their order"
    for stack in STACKS:
        parameters = dict(stack.parameters)
        if form == "sam":  # a backslash has no certain meaning there, and none of our values has one
            parameters.pop("Odd", None)
            found[stack.name]["parameters"].pop("Odd", None)
        assert found[stack.name] == {
            "region": stack.region,
            "file": f"{stack.name}.yaml",
            "parameters": parameters,
            "tags": dict(stack.tags),
        }
        assert files[f"{stack.name}.yaml"] == stack.text


@pytest.mark.parametrize("form", FORMS)
def test_the_same_stacks_make_the_same_files_and_another_value_one_changed_line(form: str) -> None:
    first, again = (FORMS[form].files(STACKS) for _ in range(2))
    assert first == again
    changed = Deployable(
        name=STACKS[0].name,
        region=STACKS[0].region,
        side="source",
        parameters={"StateTableName": "replicator-shop2-state"},
        tags=STACKS[0].tags,
        text=STACKS[0].text,
    )
    other = FORMS[form].files((changed, *STACKS[1:]))
    lines = [
        (old, new)
        for name in first
        for old, new in zip(first[name].splitlines(), other[name].splitlines(), strict=True)
        if old != new
    ]
    assert len(lines) == 1
    assert "shop2" in lines[0][1]


@pytest.mark.parametrize("form", FORMS)
def test_every_template_of_a_form_keeps_our_own_rules(form: str) -> None:
    texts = [text for name, text in FORMS[form].files(STACKS).items() if name.endswith(".yaml")]

    assert len(texts) == len(STACKS)
    assert [fault for text in texts for fault in faults(parsed(text))] == []


def test_terraforms_provider_is_pinned_and_may_name_roles() -> None:
    text = terraform.files(STACKS)["main.tf"]

    assert re.search(r'source  = "hashicorp/aws"\n\s+version = "~> \d+\.\d+"', text)
    assert text.count('capabilities  = ["CAPABILITY_NAMED_IAM"]') == len(STACKS)
