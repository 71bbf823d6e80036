"""The pipelines of docs/ci.md are what GitHub and GitLab take, and what ddbverify offers."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from ddbverify.cli import main
from ddbverify.config import parse
from ddbverify.evidence import sealing
from ddbverify.evidence.envelope import PublicKey
from replicator.cli import main as mover

DOCS = Path(__file__).parents[1] / "docs"
TEXT = (DOCS / "ci.md").read_text(encoding="utf-8")
COMMANDS = r"(?:ddbverify (?:run|gate|keygen|explain)|replicator (?:audit|cutover))"
GITHUB = ("github-workflow", "github-workflow: audit", "github-workflow: cutover")
GITLAB = ("gitlab-ci", "gitlab-ci: operate")
SCHEMAS = dict.fromkeys(GITHUB, "vendor.github-workflows") | dict.fromkeys(GITLAB, "vendor.gitlab-ci")


def block(first_line: str) -> str:
    (found,) = re.findall(rf"^```yaml\n(# {first_line}\n.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    return found


def pipeline(first_line: str) -> dict[str, Any]:
    return yaml.load(block(first_line), Loader=yaml.BaseLoader)  # where `on` is no boolean


def shell_lines() -> list[str]:
    jobs = [job for name in GITHUB for job in pipeline(name)["jobs"].values()]
    lines = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    for job in [job for name in GITLAB for job in pipeline(name).values()]:
        if isinstance(job, dict):
            lines += [*job.get("before_script", ()), *job.get("script", ())]
    return [*lines, *re.findall(r"^```sh\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)]


@pytest.mark.parametrize("first_line", SCHEMAS)
def test_the_platform_s_own_schema_takes_it(first_line, tmp_path):
    file = tmp_path / "pipeline.yml"
    file.write_text(block(first_line), encoding="utf-8")

    def check():
        return subprocess.run(
            [sys.executable, "-m", "check_jsonschema", "--builtin-schema", SCHEMAS[first_line], str(file)],
            capture_output=True,
            text=True,
            check=False,
        )

    done = check()
    assert done.returncode == 0, done.stdout
    # The linter is seen to refuse: a key that there is not.
    file.write_text(block(first_line).replace("timeout", "time_out"), encoding="utf-8")
    assert check().returncode == 1


@pytest.mark.parametrize(
    "file", sorted((DOCS.parent / ".github/workflows").glob("*.yml")), ids=lambda file: file.name
)
def test_our_own_workflows_are_ones_and_may_do_no_more_than_they_need(file):
    subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(file)],
        check=True,
        capture_output=True,
    )
    workflow = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)

    assert workflow["permissions"] == {"contents": "read"}
    writing = {name for name, job in workflow["jobs"].items() if "write" in str(job.get("permissions"))}
    assert writing <= {"publish"}
    assert all(int(job["timeout-minutes"]) > 0 for job in workflow["jobs"].values())


@pytest.mark.parametrize("line", shell_lines())
def test_shell_lines_are_shell_and_name_commands_that_exist(line):
    subprocess.run(["bash", "-n", "-c", line], check=True)
    commands = re.findall(
        r"(?:ddbverify (?:run|gate|keygen|explain)|replicator (?:audit|cutover))\b[^\n|;&]*", line
    )
    assert commands or not re.search(r"ddbverify|replicator", line)
    for command in commands:
        program, name, *arguments = shlex.split(command)
        group = {"ddbverify": main, "replicator": mover}[program]
        with click.Context(group) as context:
            group.get_command(context, name).make_context(name, arguments, parent=context).close()


@pytest.mark.parametrize("first_line", GITHUB)
def test_the_workflow_asks_for_no_more_than_it_needs(first_line):
    workflow = pipeline(first_line)

    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert job["permissions"] == {"contents": "read", "id-token": "write"}
        assert int(job["timeout-minutes"]) > 0
        assert job["environment"].startswith("migration-")
        for step in job["steps"]:
            assert re.fullmatch(r"(actions|aws-actions)/[a-z-]+@v\d+", step.get("uses", "actions/x@v1"))
            # Nothing from outside stands in a shell line, where it could be a command.
            assert "${{" not in step.get("run", "")


def test_the_gate_s_job_cannot_sign_and_decides_by_itself():
    github, gitlab = pipeline("github-workflow")["jobs"], pipeline("gitlab-ci")
    roles = [
        [step["with"]["role-to-assume"] for step in job["steps"] if "role-to-assume" in step.get("with", {})]
        for job in (github["verify"], github["gate"])
    ]
    roles += [[gitlab[job]["variables"]["AWS_ROLE_ARN"]] for job in ("verify", "gate")]

    assert [[one.rpartition("/")[2] for one in role] for role in roles] == [
        ["ddbverify-run"],
        ["ddbverify-gate"],
    ] * 2
    assert (github["gate"]["needs"], gitlab["gate"]["needs"]) == ("verify", ["verify"])
    assert github["gate"]["steps"][-1] == {"run": "ddbverify gate run"}
    assert gitlab["gate"]["script"] == ["ddbverify gate run"]
    for job in (github["gate"], gitlab["gate"]):
        assert "continue-on-error" not in str(job)
        assert "allow_failure" not in job


def test_what_is_kept_holds_no_key_of_an_item():
    github, gitlab = pipeline("github-workflow")["jobs"]["verify"], pipeline("gitlab-ci")["verify"]
    (upload,) = [step for step in github["steps"] if "upload-artifact" in step.get("uses", "")]
    kept = [
        *upload["with"]["path"].split(),
        *gitlab["artifacts"]["paths"],
        gitlab["artifacts"]["reports"]["junit"],
    ]

    assert upload["if"] == "always()"
    assert gitlab["artifacts"]["when"] == "always"
    assert set(kept) == {
        f"run/{name}"
        for name in (
            "evidence.json",
            "events.jsonl",
            "findings.sealed",
            "junit.xml",
            "report.html",
            "summary.md",
        )
    }


def test_what_is_kept_of_a_cutover_holds_no_key_either_and_is_kept_whatever_came_of_it():
    github, gitlab = pipeline("github-workflow: cutover")["jobs"]["cutover"], pipeline("gitlab-ci: operate")
    upload = github["steps"][-1]
    kept = upload["with"]["path"].split()

    assert (upload["if"], gitlab["cutover"]["artifacts"]["when"]) == ("always()", "always")
    assert kept == gitlab["cutover"]["artifacts"]["paths"]
    assert {path.rpartition("/")[2] for path in kept} == {
        *("cutover.json", "evidence.json", "events.jsonl"),
        *("findings.sealed", "report.html", "summary.md"),
    }


def test_a_cutover_is_not_cut_short():
    workflow = pipeline("github-workflow: cutover")
    (job,) = workflow["jobs"].values()
    (role,) = [step["with"] for step in job["steps"] if "role-to-assume" in step.get("with", {})]

    assert workflow["concurrency"]["cancel-in-progress"] == "false"
    assert int(role["role-duration-seconds"]) > 60 * int(job["timeout-minutes"])
    assert pipeline("github-workflow: audit")["concurrency"]["group"] == workflow["concurrency"]["group"]


def test_the_key_for_findings_that_is_shown_is_one(tmp_path):
    (text,) = re.findall(r'^findings_key = "(x25519:[^"]+)"$', TEXT, re.MULTILINE)
    toml = f'[[tables]]\nsource = "orders"\ntarget = "orders-v2"\n[verification]\nfindings_key = "{text}"\n'

    assert sealing.recipient(parse(toml, tmp_path)).name == text


def test_the_key_that_is_shown_is_one():
    (text,) = re.findall(r'trusted_keys = \["([^"]+)"\]', TEXT)

    assert PublicKey.parse(text)


def test_every_exit_code_is_told_apart():
    rows = re.findall(r"^\| (\d) \|", TEXT, re.MULTILINE)

    assert rows == ["0", "1", "2", "3", "4", "5", "6"]
