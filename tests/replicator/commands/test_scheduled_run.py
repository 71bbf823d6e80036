"""
The verification that nobody has to remember: `restore` deploys it, its build verifies, and `down` removes it.

CodeBuild itself is not here. What it would do is: the project out of the bucket into a new folder, then the
lines of the template's buildspec, each in a shell, as an identity that may do what the build's role may.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from ddbverify.config import load
from ddbverify.evidence import folders, links, signing
from ddbverify.evidence.evidence import decode
from ddbverify.gate import gate
from ddbverify.names import stack_name
from replicator.commands import synth
from replicator.stack import stacks
from tests.replicator.migrations import SOURCE_REGION, TARGET_REGION, Migration
from tests.replicator.stack.template_rules import parsed

pytestmark = [pytest.mark.engine("ministack"), pytest.mark.e2e, pytest.mark.full]

REPOSITORY = Path(__file__).parents[3]
BUILDSPEC = yaml.safe_load(
    parsed(stacks.template_body("verify"))["Resources"]["Verifier"]["Properties"]["Source"]["BuildSpec"]
)


@pytest.fixture
def begun(aws, unique, tmp_path, monkeypatch):
    for name, value in aws.variables(SOURCE_REGION).items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    made = Migration(aws, unique("v"), folder)
    made.configure(transform="louder")
    kms = aws.client("kms", SOURCE_REGION)
    key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
    settings = folder / "migration.toml"
    settings.write_text(
        settings.read_text()
        .replace("[gate]", f'[gate]\nsigning_key = "kms:{key}"')
        .replace("[cutover]", '[cutover]\nstream_lag = "1s"')
        + '[verification]\nevery = "12h"\nsettle = "1s"\n'
        + '[checks]\nfiles = ["expected.txt"]\n'
    )
    (folder / "expected.txt").write_text("20")
    (folder / "private.pem").write_text("of nobody's business")
    (folder / "requirements.txt").write_text("ddbverify @ https://wheels.example/ddbverify.whl\n")
    for number in range(20):
        made.put(f"k{number}", f"v{number}")
    yield made
    made.down()


class Builds:
    """What CodeBuild would do, each time on a new machine."""

    def __init__(self, migration, made, folder):
        self.migration, self.made, self.folder, self.number = migration, made, folder, 0
        self.s3 = migration.aws.client("s3", SOURCE_REGION)
        self.environment = (
            migration.aws.environment(SOURCE_REGION)
            | self._as_the_role()
            | {
                "PYTHONPATH": str(REPOSITORY),
                "RUNS_BUCKET": self.bucket,
            }
        )
        self.s3.delete_bucket_policy(Bucket=self.bucket)  # it denies what is not TLS, as the embedded AWS is
        tools = folder / "tools"
        tools.mkdir()
        # The one command that is not run: nothing is installed, the project's own code is on the path.
        (tools / "python").write_text(
            f'#!/bin/sh\nif [ "$2" = pip ]; then cat requirements.txt; else exec {sys.executable} "$@"; fi\n'
        )
        (tools / "python").chmod(0o755)
        self.environment["PATH"] = f"{tools}{os.pathsep}{os.environ['PATH']}"

    @property
    def bucket(self):
        base = stack_name(self.migration.name, "base")
        return stacks.outputs(self.migration.aws.client("cloudformation", SOURCE_REGION), base)[
            "BundleBucket"
        ]

    def _as_the_role(self):
        """A user with the policy of the build's role: nobody but CodeBuild may become that."""
        iam = self.migration.aws.client("iam", SOURCE_REGION)
        role = self.made["VerifierRoleArn"].rpartition("/")[2]
        policy = iam.get_role_policy(RoleName=role, PolicyName="verifier")["PolicyDocument"]
        # ministack holds requests that name their resource by an ARN against a star, and takes the reading of
        # one mapping for the listing of all.
        for statement in policy["Statement"]:
            if statement["Sid"] in ("ReadTheirStreams", "LookAtSettings"):
                statement["Resource"] = "*"
            if statement["Sid"] == "LookAtMappings":
                statement.update(Action="lambda:ListEventSourceMappings", Resource="*")
        user = f"builds-{self.migration.name}"
        iam.create_user(UserName=user)
        iam.put_user_policy(UserName=user, PolicyName="verifier", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=user)["AccessKey"]
        return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}

    def build(self):
        """Exit status of the first line that fails, or 0, and all that was said."""
        project = self.migration.aws.client("codebuild", SOURCE_REGION).batch_get_projects(
            names=[self.made["Verifier"]]
        )["projects"][0]
        bucket, _, key = project["source"]["location"].partition("/")
        self.number += 1
        place = self.folder / f"build-{self.number}"
        archive = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        with zipfile.ZipFile(io.BytesIO(archive)) as packed:
            packed.extractall(place)
        said = ""
        for phase in ("install", "build"):
            for line in BUILDSPEC["phases"][phase]["commands"]:
                done = subprocess.run(
                    ["sh", "-c", line],
                    cwd=place,
                    env=self.environment,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                said += done.stdout + done.stderr
                if done.returncode:
                    return done.returncode, said
        return 0, said

    def kept(self):
        """Run ids in the bucket, the oldest first, with the names of their files."""
        found: dict[str, set[str]] = {}
        for one in self.s3.list_objects_v2(Bucket=self.bucket, Prefix="runs/").get("Contents", ()):
            _, run, name = one["Key"].split("/")
            found.setdefault(run, set()).add(name)
        return dict(sorted(found.items()))

    def evidence(self, run):
        key = f"runs/{run}/{folders.EVIDENCE}"
        content = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return decode(content, signing.trusted_keys(load(self.migration.folder / "migration.toml")))


def test_builds_go_on_from_each_other_and_never_from_half_of_a_run(begun, tmp_path):
    begun.up()
    name = stack_name(begun.name, "verify")
    assert name in synth.synth(begun.context(), rendered="cloudformation", out=None)["waiting"]
    begun.restore()
    begun.drain()
    assert name in synth.synth(begun.context(), rendered="cloudformation", out=None)["stacks"]
    made = stacks.outputs(begun.aws.client("cloudformation", SOURCE_REGION), name)
    builds = Builds(begun, made, tmp_path)

    code, said = builds.build()
    assert code == 0, said
    ((first, files),) = builds.kept().items()
    assert {"evidence.json", "events.jsonl", "summary.md"} <= files
    assert not files & {folders.FINDINGS, folders.REPAIR, folders.REPAIR_KEY}
    assert not links.is_link(builds.evidence(first))
    assert (tmp_path / "build-1" / f"{begun.module}.py").is_file()
    assert not (tmp_path / "build-1" / "private.pem").exists()

    begun.put("k3", "changed")
    begun.assert_equal()
    code, said = builds.build()
    assert code == 0, said
    _, second = builds.kept()
    assert links.is_link(builds.evidence(second)), said
    assert 1 <= sum(links.changed_in(builds.evidence(second)).values()) < 20, "the rest was not looked at"

    for run in builds.kept():  # as docs/operating.md has it
        place = folders.runs(begun.context().config) / run
        place.mkdir(parents=True)
        key = f"runs/{run}/{folders.EVIDENCE}"
        (place / folders.EVIDENCE).write_bytes(
            builds.s3.get_object(Bucket=builds.bucket, Key=key)["Body"].read()
        )
    decision = gate.judge(begun.context().config)
    assert decision.open, decision.reasons
    assert decision.evidence.run_id == second

    # Half of the newest run's evidence is no ground; nor is the base without what it is about.
    key = f"runs/{first}/{folders.EVIDENCE}"
    whole = builds.s3.get_object(Bucket=builds.bucket, Key=key)["Body"].read()
    builds.s3.put_object(Bucket=builds.bucket, Key=key, Body=whole[: len(whole) // 2])
    code, said = builds.build()
    assert code == 0, said
    assert not links.is_link(builds.evidence(list(builds.kept())[-1])), "its base was not whole"

    # What differs fails the build, and its evidence is kept all the same, without a key of an item.
    begun.aws.client("dynamodb", TARGET_REGION).put_item(
        TableName=begun.target, Item={"id": {"S": "k5"}, "v": {"S": "by hand"}}
    )
    code, said = builds.build()
    assert code == 1, said
    *_, (_, files) = builds.kept().items()
    assert "evidence.json" in files
    assert not files & {folders.FINDINGS, folders.REPAIR, folders.REPAIR_KEY}

    # A bucket that does not answer ends the build before anything is run.
    before = builds.kept()
    builds.environment["RUNS_BUCKET"] = "somebody-elses-bucket"
    code, said = builds.build()
    assert code == 6, said
    assert not (tmp_path / f"build-{builds.number}" / ".ddbverify").exists()
    assert builds.kept() == before

    settings = begun.folder / "migration.toml"
    wanted = settings.read_text()
    settings.write_text(wanted.replace('every = "12h"\n', ""))
    begun.restore()
    assert not stacks.exists(begun.aws.client("cloudformation", SOURCE_REGION), name)
    settings.write_text(wanted)
    begun.restore()
    assert name in begun.down()["removed"]
    assert begun.left_over() == []
