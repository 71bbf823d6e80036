"""The operator's own fence, and whom a fence lets through."""

from __future__ import annotations

import fnmatch
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from ddbverify.config import Cutover
from ddbverify.errors import AccessError, EngineError
from replicator.aws import fence as fence_of_both
from replicator.aws.fence import CommandFence
from replicator.aws.policy_fence import PolicyFence
from replicator.aws.roles import replication_of, role_of
from replicator.context.context import Pace

# --- the operator's command -------------------------------------------------------------------

SCRIPT = """
import pathlib, sys
place = pathlib.Path("fence log.txt")
place.write_text((place.read_text() if place.exists() else "") + sys.argv[1] + sys.argv[2] + " ")
sys.exit(int(sys.argv[1]))
"""


def command(tmp_path, status=0, **more):
    (tmp_path / "the fence.py").write_text(SCRIPT)
    return CommandFence(f"{sys.executable} 'the fence.py' {status}", str(tmp_path), **more)


def test_the_command_is_called_with_on_and_off_in_its_folder(tmp_path):
    made = command(tmp_path)
    made.raise_(None, 0.0)
    made.lift()

    assert (tmp_path / "fence log.txt").read_text() == "0on 0off "


def test_a_command_that_fails_is_an_error_with_its_last_line(tmp_path):
    (tmp_path / "bad.py").write_text(
        "import sys\nprint('first')\nprint('no such role', file=sys.stderr)\nsys.exit(3)\n"
    )

    with pytest.raises(EngineError, match="ended with 3 for `off`, saying: no such role"):
        CommandFence(f"{sys.executable} bad.py", str(tmp_path)).lift()


@pytest.mark.parametrize("line", ["no-such-command-anywhere", "'unbalanced"])
def test_a_command_that_cannot_be_run_is_an_error(tmp_path, line):
    with pytest.raises(EngineError, match="could not be run"):
        CommandFence(line, str(tmp_path)).raise_(None, 0.0)


def test_a_command_that_does_not_end_is_an_error(tmp_path):
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(60)\n")

    with pytest.raises(EngineError, match="The fence's command did not end within 0 s"):
        CommandFence(f"{sys.executable} slow.py", str(tmp_path), timeout_seconds=0.2).raise_(None, 0.0)


CHILD = """
import pathlib, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import pathlib, time; time.sleep(2); pathlib.Path('late').touch()"])
pathlib.Path("begun").touch()
time.sleep(60)
"""


@pytest.mark.parametrize("ended_by", ["its time", "Ctrl-C"])
def test_what_a_command_has_started_ends_with_it(tmp_path, monkeypatch, ended_by):
    """The child of a script that hangs went on, and could still fence the source, or agree to a flip."""
    (tmp_path / "starts.py").write_text(CHILD)
    made = CommandFence(f"{sys.executable} starts.py", str(tmp_path), timeout_seconds=1.5)
    if ended_by == "Ctrl-C":
        communicate = subprocess.Popen.communicate

        def interrupted(child, *_, **__):
            while not (tmp_path / "begun").exists():
                time.sleep(0.01)
            monkeypatch.setattr(subprocess.Popen, "communicate", communicate)
            raise KeyboardInterrupt

        monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    with pytest.raises((EngineError, KeyboardInterrupt)):
        made.raise_(None, 0.0)

    assert (tmp_path / "begun").exists()
    time.sleep(3)
    assert not (tmp_path / "late").exists()


def test_a_command_that_is_ended_may_undo_what_it_did(tmp_path):
    (tmp_path / "slow.py").write_text(
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path('undone').touch(), sys.exit()))\n"
        "time.sleep(60)\n"
    )

    with pytest.raises(EngineError, match="did not end within"):
        CommandFence(f"{sys.executable} slow.py", str(tmp_path), timeout_seconds=1.5).raise_(None, 0.0)
    assert (tmp_path / "undone").exists()


# --- whom the policy exempts ------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "aws-reserved/sso.amazonaws.com/eu-west-1/", "team/"])
def test_the_operators_role_is_exempt_whatever_its_path(path):
    patterns = role_of("arn:aws:sts::123456789012:assumed-role/deploy/session")
    role = f"arn:aws:iam::123456789012:role/{path}deploy"

    assert any(fnmatch.fnmatchcase(role, pattern) for pattern in patterns)


def test_a_role_whose_name_ends_like_the_operators_is_not_exempt():
    patterns = role_of("arn:aws:sts::123456789012:assumed-role/deploy/session")

    def exempt(role):
        return any(fnmatch.fnmatchcase(f"arn:aws:iam::123456789012:role/{role}", one) for one in patterns)

    assert exempt("deploy")
    assert exempt("teams/ops/deploy")
    assert not exempt("app-deploy")


@pytest.mark.parametrize(
    ("identity", "partition"),
    [
        ("arn:aws:sts::123456789012:assumed-role/deploy/session", "aws"),
        ("arn:aws-cn:iam::123456789012:user/ops", "aws-cn"),
    ],
)
def test_the_role_that_replicates_a_global_table_is_exempt(identity, partition):
    """A replica that denies it for 20 hours is one no more, and a fence stands for days."""
    assert replication_of(identity) == (
        f"arn:{partition}:iam::123456789012:role/aws-service-role/replication.dynamodb.amazonaws.com/"
        "AWSServiceRoleForDynamoDBReplication"
    )


# --- of source and target ---------------------------------------------------------------------


def test_a_source_is_opened_again_though_its_targets_side_does_not_answer(monkeypatch):
    def refuse(_):
        raise AccessError("AWS refused to say who we are on the target's side", "log in.")

    told = []
    monkeypatch.setattr(fence_of_both.target_fence, "of", refuse)
    identity = {"Arn": "arn:aws:iam::123456789012:user/ops"}
    context = SimpleNamespace(
        flips_with="cutover",
        config=SimpleNamespace(cutover=Cutover(), tables=()),
        source_client=lambda _: SimpleNamespace(get_caller_identity=lambda: identity),
        console=SimpleNamespace(warn=told.append),
        source=None,
        source_table=None,
        server_time=None,
        pace=Pace.of(emulator=False),
        begun=lambda: False,
    )

    with pytest.raises(AccessError):
        fence_of_both.of(context)
    assert isinstance(fence_of_both.of(context, to_lift=True), PolicyFence)
    assert told == [
        "whether the targets are closed is not known: AWS refused to say who we are on the target's side"
    ]
