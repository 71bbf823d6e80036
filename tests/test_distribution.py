"""What others take ddbverify by: the image, the action of GitHub, the component of GitLab, the release."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from ddbverify.cli import main

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
COMPONENT = (ROOT / "templates" / "ddbverify.yml").read_text(encoding="utf-8")
LEFT = {f"run/{name}" for name in ("evidence.json", "events.jsonl", "findings.sealed", "report.html")} | {
    "run/summary.md"
}


def instructions() -> list[tuple[str, str]]:
    text = (ROOT / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def test_the_image_has_a_base_that_cannot_change():
    bases = [rest for word, rest in instructions() if word == "FROM"]

    assert len(bases) == 1
    assert re.fullmatch(r"docker\.io/library/python:3\.\d+-slim@sha256:[0-9a-f]{64}", bases[0])


def test_the_image_runs_one_of_our_commands_as_nobody():
    words = [word for word, _ in instructions()]
    last = dict(instructions())

    assert set(words) <= {"FROM", "RUN", "COPY", "USER", "WORKDIR", "ENV", "ENTRYPOINT", "CMD"}
    user = last["USER"].split(":")[0]
    assert user.isdigit()
    assert int(user) > 0
    assert words.index("USER") > max(at for at, word in enumerate(words) if word in {"RUN", "COPY"})
    (program,) = yaml.safe_load(last["ENTRYPOINT"])
    assert program in PROJECT["scripts"]
    assert last["COPY"].startswith("dist/*.whl ")  # nothing else of the checkout
    extras = re.findall(r"\[([a-z,]+)\]", last["RUN"] + "".join(rest for _, rest in instructions()))
    assert {name for one in extras for name in one.split(",")} <= set(PROJECT["optional-dependencies"])


def checked(schema: str, file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(file)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_action_is_one():
    done = checked("vendor.github-actions", ROOT / "action.yml")
    assert done.returncode == 0, done.stdout


def steps() -> list[dict[str, Any]]:
    return list(ACTION["runs"]["steps"])


def test_nothing_from_outside_stands_in_a_shell_line_of_the_action():
    for step in steps():
        assert "${{" not in step.get("run", "")
        assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/x@v1"))
    used = set(re.findall(r"inputs\.([a-z-]+)", str(steps())))
    assert used == set(ACTION["inputs"])


def test_the_action_takes_along_no_file_with_keys():
    (kept,) = [
        step["with"]["path"].splitlines() for step in steps() if "upload-artifact" in step.get("uses", "")
    ]
    names = {one.rpartition("/")[2] for one in kept}

    assert names == {one.removeprefix("run/") for one in LEFT} | {"junit.xml"}


@pytest.mark.parametrize(
    ("command", "status", "job", "said"),
    [
        ("run", 0, 0, "0"),
        ("run", 1, 1, "1"),
        ("run", 3, 0, "3"),  # not decided: that is for the gate to say
        ("run", 6, 6, "6"),
        ("gate", 0, 0, "0"),
        ("gate", 3, 3, "3"),
        ("gate", 5, 5, "5"),
        ("diff", 0, 2, None),
    ],
)
def test_the_actions_job_ends_as_the_command_did(tmp_path, command, status, job, said):
    (text,) = [step["run"] for step in steps() if step.get("id") == "command"]
    program = tmp_path / "ddbverify"
    program.write_text(f'#!/bin/sh\necho "$@" > called\nexit {status}\n')
    program.chmod(0o755)
    output = tmp_path / "output"
    given = {"COMMAND": command, "CONFIG": "my folder/migration.toml", "FOLDER": "run"}

    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", text],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "GITHUB_OUTPUT": str(output), **given},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == job, done.stderr
    assert (output.read_text() if output.exists() else None) == (said and f"exit-code={said}\n")


@pytest.mark.parametrize("line", re.findall(r"ddbverify (?:run|gate) [^|;\n]*", str(ACTION) + COMPONENT))
def test_commands_have_the_options_that_they_are_called_with(line):
    words = shlex.split(line.split(" || ")[0].replace("\\n", " ").partition("  ")[0])
    name, arguments = words[1], words[2:]
    with click.Context(main) as context:
        command = main.get_command(context, name)
        assert command is not None
        command.make_context(name, arguments, parent=context).close()


def component(**given: str) -> tuple[dict[str, Any], str]:
    header, _, body = COMPONENT.partition("\n---\n")
    inputs = yaml.safe_load(header)["spec"]["inputs"]
    for name, one in inputs.items():
        value = given.get(name, one.get("default"))
        assert value is not None, f"{name} has neither a value nor a default"
        body = body.replace(f"$[[ inputs.{name} ]]", value)
    return inputs, body


GIVEN = {
    "run-role": "arn:aws:iam::111122223333:role/ddbverify-run",
    "gate-role": "arn:aws:iam::111122223333:role/ddbverify-gate",
    "region": "eu-west-1",
}


def test_the_component_is_a_pipeline_once_it_has_its_inputs(tmp_path):
    inputs, body = component(**GIVEN)
    file = tmp_path / "pipeline.yml"
    file.write_text(body, encoding="utf-8")

    assert "$[[" not in body
    assert set(re.findall(r"\$\[\[ inputs\.([a-z-]+) \]\]", COMPONENT)) == set(inputs)
    assert {name for name, one in inputs.items() if "default" not in one} == set(GIVEN)
    done = checked("vendor.gitlab-ci", file)
    assert done.returncode == 0, done.stdout
    file.write_text(body.replace("allow_failure", "allows_failure"), encoding="utf-8")
    assert checked("vendor.gitlab-ci", file).returncode == 1


def test_the_component_runs_with_one_role_and_asks_the_gate_with_another():
    jobs = yaml.safe_load(component(**GIVEN)[1])

    assert set(jobs["ddbverify-run"]["artifacts"]["paths"]) == LEFT
    assert jobs["ddbverify-run"]["variables"]["AWS_ROLE_ARN"] == GIVEN["run-role"]
    assert jobs["ddbverify-gate"]["variables"]["AWS_ROLE_ARN"] == GIVEN["gate-role"]
    assert "allow_failure" not in jobs["ddbverify-gate"]
    assert jobs["ddbverify-gate"]["needs"] == ["ddbverify-run"]
    for job in jobs.values():
        for script in (*job.get("before_script", ()), *job.get("script", ())):
            assert "$[[" not in script
            subprocess.run(["bash", "-n", "-c", script], check=True)
