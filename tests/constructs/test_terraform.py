"""The Terraform module: read as HCL, formatted and evaluated by Terraform, as `up --deployed` wants it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import hcl2
import pytest

from ddbverify.words import docs_folder
from replicator.stack import deployed, stacks
from tests.constructs import terraform_module
from tests.constructs.expected import (
    ID,
    MADE,
    PROJECT,
    RESOURCES,
    SIGNING,
    SOURCE,
    TARGET,
    as_wanted,
    every_parameter,
    verified,
)
from tests.constructs.parameters import OWN, ROOT
from tests.replicator.stack.template_rules import parsed

MODULE = ROOT / "constructs" / "terraform"
EXAMPLE = MODULE / "examples" / "orders" / "main.tf"

needs_terraform = pytest.mark.skipif(shutil.which("terraform") is None, reason="Terraform is not installed")


def plain(text: str) -> str:
    return text.strip('"')


def blocks(document: dict[str, Any], kind: str) -> dict[str, Any]:
    """Name -> content of the blocks of a kind, whatever labels stand before the name."""
    found = {}
    for block in document.get(kind, ()):
        while len(named := [key for key in block if not key.startswith("__")]) == 1:
            name, block = plain(named[0]), block[named[0]]
        found[name] = block
    return found


def test_each_template_is_one_stack_with_all_of_its_parameters() -> None:
    """Read by another parser than Terraform's, so that this is tried everywhere."""
    document = hcl2.loads((MODULE / "main.tf").read_text(encoding="utf-8"))
    resources = blocks(document, "resource")
    assert resources.keys() == OWN.keys()
    text = (MODULE / "main.tf").read_text(encoding="utf-8")
    for part, one in resources.items():
        (file,) = re.findall(r"/(\.\./[\w./]+\.yaml)", one["template_body"])
        assert (MODULE / file).resolve().read_text(encoding="utf-8") == stacks.template_body(part)
        assert "CAPABILITY_NAMED_IAM" in str(one["capabilities"])
        inner = re.search(rf"\n  {part} = \{{.*?parameters = \{{\n(.*?)\n    \}}", text, re.DOTALL)
        assert inner is not None
        given = re.findall(r"^ +(\w+) +=", inner[1], re.MULTILINE)
        assert given == list(parsed(stacks.template_body(part))["Parameters"])


def test_the_provider_is_pinned_in_module_and_example() -> None:
    for file in (MODULE / "main.tf", EXAMPLE):
        assert re.search(r'version += "~> \d+\.\d+"', file.read_text(encoding="utf-8"))


def terraform(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["terraform", *words],
        cwd=folder,
        env={name: one for name, one in os.environ.items() if not name.startswith("TF_")}
        | {"CHECKPOINT_DISABLE": "1", "TF_CLI_CONFIG_FILE": os.devnull, "TF_IN_AUTOMATION": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@needs_terraform
def test_it_is_written_as_terraform_formats_it() -> None:
    done = terraform("fmt", "-check", "-recursive", "-diff", folder=MODULE)
    assert done.returncode == 0, done.stdout + done.stderr


OUTPUTS = {
    "base": MADE,
    "capture": {"QueueArn": RESOURCES["queue_arn"], "DeadLetterUrl": "https://sqs/dead.fifo"},
    "target": {"LedgerTableArn": RESOURCES["ledger_arn"], "WriterRoleArn": RESOURCES["writer_role"]},
}


def evaluated(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """
    What Terraform makes of a call of the module, without the provider, which only its registry has.

    Types, defaults, validations and expressions are the module's own; its stacks are an output.
    """
    (folder / "module").mkdir()
    (folder / "module" / "main.tf").write_text(terraform_module.stand_in(), encoding="utf-8")
    shutil.copy(MODULE / "variables.tf", folder / "module")
    call = text[text.index('module "orders_2026"') :]
    call = re.sub(r"\n  providers = .*", "", call).replace('"../.."', '"./module"')
    call = call.replace("{\n", f"{{\n  outputs_of = jsondecode({json.dumps(json.dumps(OUTPUTS))})\n", 1)
    (folder / "main.tf").write_text(
        f'{call}\noutput "stacks" {{\n  value = module.orders_2026.stacks\n}}\n', encoding="utf-8"
    )
    done = terraform("init", "-backend=false", "-input=false", folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return terraform("apply", "-auto-approve", "-input=false", "-no-color", folder=folder)


@needs_terraform
def test_the_commands_find_no_fault_with_what_terraform_deploys(tmp_path: Path) -> None:
    done = evaluated(tmp_path, EXAMPLE.read_text(encoding="utf-8"))
    assert done.returncode == 0, done.stdout + done.stderr
    shown = json.loads(terraform("output", "-json", folder=tmp_path).stdout)["stacks"]["value"]
    assert shown.pop("queue") == shown.pop("audit") == shown.pop("verify") == {}
    found = {
        one["name"]: one["parameters"] for one in [shown.pop("base"), *(shown[key][ID] for key in shown)]
    }
    ours = as_wanted(tmp_path)
    assert found.keys() == ours.keys()
    for name, one in ours.items():
        there: Any = {
            "StackStatus": "CREATE_COMPLETE",
            "Outputs": [{"OutputKey": "TemplateVersion", "OutputValue": deployed.version(one.text)}],
            "Parameters": [
                {"ParameterKey": key, "ParameterValue": value} for key, value in found[name].items()
            ],
        }
        assert list(deployed.faults_of_stack(name, there, one.parameters, one.text)) == []
        there["Parameters"][0]["ParameterValue"] = "other"
        assert list(deployed.faults_of_stack(name, there, one.parameters, one.text)) != []


@needs_terraform
def test_an_auditor_takes_what_the_other_stacks_made(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8").replace("      apply = {", "      audit = {}\n      apply = {")
    assert evaluated(tmp_path, text).returncode == 0
    shown = json.loads(terraform("output", "-json", folder=tmp_path).stdout)["stacks"]["value"]
    assert shown["target"][ID]["parameters"]["Audited"] == "true"
    given = shown["audit"][ID]["parameters"]
    assert given.keys() == parsed(stacks.template_body("audit"))["Parameters"].keys()
    assert given["DeadLetterUrl"] == OUTPUTS["capture"]["DeadLetterUrl"]
    assert given["QueueArn"] == RESOURCES["queue_arn"]
    assert given["ReaderRoleArn"] == ""


VERIFY = """
  verify = {
    signing_key_arn = "SIGNING"
    project_key     = "PROJECT"
    every_hours     = 12
  }
"""


@needs_terraform
def test_a_verification_by_schedule_is_what_the_commands_want(tmp_path: Path) -> None:
    verify = VERIFY.replace("SIGNING", SIGNING).replace("PROJECT", PROJECT)
    text = EXAMPLE.read_text(encoding="utf-8").replace("\n  pairs = {", f"{verify}\n  pairs = {{")
    (tmp_path / "two").mkdir()
    done = evaluated(tmp_path / "two", text)
    assert done.returncode != 0
    assert "a role of one account" in " ".join(re.sub(r"[│╷╵]", " ", done.stderr).split())
    (tmp_path / "one").mkdir()
    done = evaluated(tmp_path / "one", text.replace(f"{TARGET}:table", f"{SOURCE}:table"))
    assert done.returncode == 0, done.stdout + done.stderr
    shown = json.loads(terraform("output", "-json", folder=tmp_path / "one").stdout)["stacks"]["value"]
    (found,) = shown["verify"].values()
    ours = verified(tmp_path)
    assert found["name"] == ours.name
    assert found["parameters"] == every_parameter(ours)


@needs_terraform
def test_the_pages_example_makes_the_first_stack(tmp_path: Path) -> None:
    page = (docs_folder() / "deploy-with-terraform.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```hcl\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    done = evaluated(tmp_path, re.sub(r'"git::.*?"', '"../.."', block))
    assert done.returncode == 0, done.stdout + done.stderr
    shown = json.loads(terraform("output", "-json", folder=tmp_path).stdout)["stacks"]["value"]
    assert shown.pop("base")["name"] == "replicator-orders-2026-base"
    assert [one for one in shown.values() if one] == []


@needs_terraform
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({r"  bundle_key = .*\n": ""}, "`capture` needs `bundle_key`"),
        ({r"      stream_arn .*\n": ""}, "`capture` needs `stream_arn`"),
        ({r"      ledger = \{[^}]*\}\n": ""}, "`apply` and `audit` take the queue"),
        ({r"      ledger = ": "      queue = {}\n      ledger = "}, "`queue` is for workers"),
        ({'"orders-2026"': '"Orders"'}, "no name of a migration"),
    ],
)
def test_what_does_not_go_together_is_said_with_what_to_do(
    tmp_path: Path, changes: dict[str, str], told: str
) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    for pattern, other in changes.items():
        changed = re.sub(pattern, other, text)
        assert changed != text
        text = changed
    done = evaluated(tmp_path, text)
    assert done.returncode != 0
    assert told in " ".join(re.sub(r"[│╷╵]", " ", done.stderr).split())


@needs_terraform
def test_of_the_same_account_no_account_is_named(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8").replace("444455556666:table", f"{SOURCE}:table")
    assert evaluated(tmp_path, text).returncode == 0
    shown = json.loads(terraform("output", "-json", folder=tmp_path).stdout)["stacks"]["value"]
    assert shown["target"][ID]["parameters"]["SourceAccount"] == ""
