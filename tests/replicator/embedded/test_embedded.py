"""The embedded AWS: starts, answers, is as strict as AWS, and never outlives its parent."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from ddbverify.errors import EngineError
from replicator.embedded import aws as aws_module
from replicator.embedded.aws import EmbeddedAws, embedded_aws
from replicator.embedded.environment import PINS, engines_folder, ensure_environment, environment_folder
from replicator.embedded.process import child_process, clean_environment
from tests.processes import linux_only, listening_addresses, processes_of, wait_until

REGION = "eu-west-1"
ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.engine("ministack")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Temporary folders are made in here, so that one that stays behind is seen."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def only_folder(temporary: Path) -> Path:
    (folder,) = temporary.iterdir()
    return folder


def answers(endpoint_url: str) -> bool:
    host, port = endpoint_url.removeprefix("http://").split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def test_it_starts_answers_and_is_gone_with_its_block(temporary):
    with embedded_aws() as running:
        folder = only_folder(temporary)
        identity = running.client("sts", REGION).get_caller_identity()
        assert identity["Account"] == running.account_id
        assert answers(running.endpoint_url)

    assert not answers(running.endpoint_url)
    assert not list(temporary.iterdir())
    assert not processes_of(folder)


def test_it_is_gone_after_an_exception(temporary):
    with pytest.raises(ZeroDivisionError), embedded_aws() as running:  # noqa: PT012 - the block is the subject
        folder = only_folder(temporary)
        raise ZeroDivisionError

    assert not answers(running.endpoint_url)
    assert not list(temporary.iterdir())
    assert not processes_of(folder)


# A parent with a Lambda function in the middle of a long call: that worker outlives a mere SIGTERM.
PARENT = """
import io, json, os, sys, time, zipfile, threading
from replicator.embedded.aws import embedded_aws

with embedded_aws(progress=lambda line: None) as aws:
    bundle = io.BytesIO()
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr("busy.py", "import signal, time\\n"
            "def handler(event, context):\\n  open(event['started'], 'w').close()\\n  time.sleep(300)\\n")
    role = aws.client("iam", "eu-west-1").create_role(RoleName="busy", AssumeRolePolicyDocument="{}")
    functions = aws.client("lambda", "eu-west-1")
    functions.create_function(FunctionName="busy", Role=role["Role"]["Arn"], Runtime="python3.12",
        Timeout=300, Handler="busy.handler", Code={"ZipFile": bundle.getvalue()})
    functions.invoke(FunctionName="busy", InvocationType="Event",
        Payload=json.dumps({"started": os.path.join(sys.argv[1], "started")}))
    while not os.path.exists(os.path.join(sys.argv[1], "started")):
        time.sleep(0.05)
    print(aws.endpoint_url, flush=True)
    if sys.argv[2] == "os._exit":
        sys.stdin.readline()
        os._exit(3)
    if sys.argv[2] == "forked":  # a child of the parent keeps the pipe to the launcher open
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
    time.sleep(300)
"""


@contextmanager
def parent_process(folder: Path, way: str) -> Iterator[tuple[subprocess.Popen[str], str, Path]]:
    """Run ``PARENT`` in a session of its own until it has an embedded AWS with a busy Lambda worker."""
    temporary = folder / "tmp"
    temporary.mkdir()
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(folder), way],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    try:
        yield parent, parent.stdout.readline().strip(), only_folder(temporary)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(parent.pid, signal.SIGKILL)
        parent.wait()
        parent.stdin.close()
        parent.stdout.close()


@linux_only
@pytest.mark.parametrize("way", ["SIGKILL", "SIGTERM", "SIGINT", "os._exit", "forked"])
def test_it_is_gone_with_its_parent(tmp_path, way):
    with parent_process(tmp_path, way) as (parent, endpoint_url, folder):
        commands = " ".join(processes_of(folder).values())
        assert "launcher.py" in commands
        assert "-m ministack" in commands
        assert len(processes_of(folder)) >= 3  # ... and the Lambda worker

        if way == "os._exit":
            parent.stdin.write("\n")
            parent.stdin.flush()
        elif way == "SIGINT":  # as a terminal sends it: to the whole foreground group
            os.killpg(parent.pid, signal.SIGINT)
        else:
            parent.send_signal({"SIGTERM": signal.SIGTERM}.get(way, signal.SIGKILL))
        parent.wait()

        wait_until(lambda: not processes_of(folder), "its processes are gone")
        wait_until(lambda: not folder.exists(), "its files are gone")
        assert not answers(endpoint_url)


INTERRUPTED = """
import time
from replicator.embedded.aws import embedded_aws
with embedded_aws(progress=lambda line: None) as aws:
    try:
        print("up", flush=True)
        time.sleep(300)
    except KeyboardInterrupt:
        time.sleep(1)  # were the child interrupted as well, it would be gone by now
        print(aws.client("sts", "eu-west-1").get_caller_identity()["Account"], flush=True)
"""


def test_ctrl_c_leaves_it_to_the_block_to_end_it(aws):
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "up\n"
        os.killpg(parent.pid, signal.SIGINT)
        assert parent.stdout.readline().strip() == aws.account_id


@linux_only
def test_it_listens_on_the_loopback_only(aws, unique):
    functions = aws.client("lambda", REGION)
    role = aws.client("iam", REGION).create_role(RoleName=unique("role"), AssumeRolePolicyDocument="{}")
    name = unique("echo")
    functions.create_function(
        FunctionName=name,
        Role=role["Role"]["Arn"],
        Runtime="python3.12",
        Handler="echo.handler",
        Code={"ZipFile": bundle("echo.py", "def handler(event, context):\n  return event\n")},
    )
    assert json.load(functions.invoke(FunctionName=name, Payload=b'{"a": 1}')["Payload"]) == {"a": 1}
    port = int(aws.endpoint_url.rpartition(":")[2])
    pids = {pid for pid, command in all_of(port).items()}

    assert listening_addresses(pids) == {f"0100007F:{port:04X}"}


def all_of(port: int) -> dict[int, str]:
    """Return the processes of the instance on *port*, wherever its folder is."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            variables = (process / "environ").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if f"GATEWAY_PORT={port}" in variables:
            folder = next(v.removeprefix("TMPDIR=") for v in variables if v.startswith("TMPDIR="))
            return processes_of(Path(folder))
    raise AssertionError(f"no process has port {port}")


def bundle(name: str, source: str) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr(name, source)
    return written.getvalue()


def test_two_at_once_share_nothing():
    with embedded_aws() as one, embedded_aws() as other:
        create_table(one, REGION, "orders")

        assert one.endpoint_url != other.endpoint_url
        assert one.client("dynamodb", REGION).list_tables()["TableNames"] == ["orders"]
        assert other.client("dynamodb", REGION).list_tables()["TableNames"] == []


def test_a_port_that_somebody_took_first_is_left_to_them(monkeypatch):
    with embedded_aws() as first:
        taken = int(first.endpoint_url.rpartition(":")[2])
        ports = iter([taken, taken])
        monkeypatch.setattr(aws_module, "free_port", lambda: next(ports, None) or original())
        create_table(first, REGION, "orders")

        with embedded_aws() as second:
            assert second.endpoint_url != first.endpoint_url
            assert second.client("dynamodb", REGION).list_tables()["TableNames"] == []


original = aws_module.free_port


def test_no_port_at_all_is_a_clear_error(monkeypatch, temporary):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(aws_module, "free_port", lambda: taken.getsockname()[1])
        monkeypatch.setattr(aws_module, "PORT_ATTEMPTS", 2)
        with pytest.raises(EngineError, match="no free port"), embedded_aws():
            pass
    assert not list(temporary.iterdir())


def test_reset_empties_it():
    with embedded_aws() as running:
        create_table(running, REGION, "orders")
        running.reset()
        assert running.client("dynamodb", REGION).list_tables()["TableNames"] == []


def test_the_log_is_kept_where_asked(tmp_path):
    log = tmp_path / "aws.log"
    with embedded_aws(log=log):
        pass
    assert "Ready" in log.read_text()


# What it is told about the user's own environment.


def test_neither_profiles_nor_proxies_nor_other_endpoints_reach_it(aws, unique, monkeypatch, tmp_path):
    config = tmp_path / "config"
    config.write_text("[default]\nregion = us-west-1\nendpoint_url = http://127.0.0.1:1\n")
    for name, value in {
        "AWS_CONFIG_FILE": str(config),
        "AWS_PROFILE": "production",
        "AWS_SESSION_TOKEN": "token",
        "AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:1",
        "HTTP_PROXY": "http://127.0.0.1:1",
        "http_proxy": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    table = unique("orders")

    create_table(aws, REGION, table)

    child = (
        "import boto3; print(boto3.client('dynamodb').describe_table(TableName='%s')['Table']['TableArn'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", child % table],
        env=aws.environment(REGION),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == f"arn:aws:dynamodb:{REGION}:{aws.account_id}:table/{table}"


def test_its_own_environment_holds_nothing_of_the_users(monkeypatch, tmp_path):
    for name in ("AWS_PROFILE", "PYTHONPATH", "LOCALSTACK_PERSISTENCE", "SERVICES", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "surprise")
    assert "surprise" not in clean_environment(tmp_path).values()


# Roles, policies and accounts.

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
    }
)


def policy(effect: str, action: str) -> str:
    return json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": effect, "Action": action, "Resource": "*"}]}
    )


def create_table(aws: EmbeddedAws, region: str, name: str) -> None:
    aws.client("dynamodb", region).create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


def dynamodb_as(aws: EmbeddedAws, role: str) -> Any:
    """Return a DynamoDB client with the rights of *role*."""
    assumed = aws.client("sts", REGION).assume_role(
        RoleArn=f"arn:aws:iam::{aws.account_id}:role/{role}", RoleSessionName="test"
    )["Credentials"]
    return boto3.Session(
        aws_access_key_id=assumed["AccessKeyId"],
        aws_secret_access_key=assumed["SecretAccessKey"],
        aws_session_token=assumed["SessionToken"],
        region_name=REGION,
    ).client("dynamodb", endpoint_url=aws.endpoint_url)


@contextmanager
def denied() -> Iterator[None]:
    with pytest.raises(ClientError) as refused:
        yield
    assert refused.value.response["Error"]["Code"] in ("AccessDeniedException", "AccessDenied")


def test_a_role_can_do_what_it_was_granted_and_no_more(aws, unique):
    table, role = unique("orders"), unique("reader")
    create_table(aws, REGION, table)
    iam = aws.client("iam", REGION)
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=TRUST)
    dynamodb = dynamodb_as(aws, role)

    with denied():
        dynamodb.scan(TableName=table)

    iam.put_role_policy(RoleName=role, PolicyName="read", PolicyDocument=policy("Allow", "dynamodb:Scan"))
    assert dynamodb.scan(TableName=table)["Count"] == 0
    with denied():
        dynamodb.put_item(TableName=table, Item={"id": {"S": "1"}})


def test_an_inline_deny_stops_a_writer_at_once_and_its_removal_lets_it_go_on(aws, unique):
    table, role = unique("orders"), unique("writer")
    create_table(aws, REGION, table)
    iam = aws.client("iam", REGION)
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=TRUST)
    iam.put_role_policy(RoleName=role, PolicyName="write", PolicyDocument=policy("Allow", "dynamodb:*"))
    dynamodb = dynamodb_as(aws, role)
    dynamodb.put_item(TableName=table, Item={"id": {"S": "before"}})

    iam.put_role_policy(RoleName=role, PolicyName="fence", PolicyDocument=policy("Deny", "dynamodb:PutItem"))
    with denied():
        dynamodb.put_item(TableName=table, Item={"id": {"S": "under the fence"}})
    iam.delete_role_policy(RoleName=role, PolicyName="fence")
    dynamodb.put_item(TableName=table, Item={"id": {"S": "after"}})

    kept = dynamodb.scan(TableName=table)["Items"]
    assert {item["id"]["S"] for item in kept} == {"before", "after"}


def test_an_unknown_access_key_is_refused(aws):
    stranger = boto3.Session("AKIAIOSFODNN7EXAMPLE", "secret", region_name=REGION)
    with pytest.raises(ClientError):
        stranger.client("dynamodb", endpoint_url=aws.endpoint_url).list_tables()


def test_accounts_and_regions_are_kept_apart(aws, unique):
    table = unique("orders")
    create_table(aws, REGION, table)
    other = aws.as_account("210987654321")

    assert table not in other.client("dynamodb", REGION).list_tables()["TableNames"]
    assert table not in aws.client("dynamodb", "eu-central-1").list_tables()["TableNames"]
    assert other.client("sts", REGION).get_caller_identity()["Account"] == "210987654321"


# Its installation.


def pretend_to_install(folder: Path, pins: tuple[str, ...] = PINS) -> Path:
    """Make what looks like a finished environment, with a Python that has no ministack."""
    home = environment_folder(folder, pins)
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "python").symlink_to(sys.executable)
    (home / "ddbverify-pins.txt").write_text("\n".join(pins) + "\n")
    return home


def test_a_finished_environment_is_used_without_a_word(tmp_path):
    home = pretend_to_install(tmp_path)
    said: list[str] = []
    assert ensure_environment(tmp_path, progress=said.append) == home / "bin" / "python"
    assert said == []


@pytest.mark.parametrize("fault", ["no marker", "other pins", "python removed"])
def test_an_unfinished_environment_is_built_anew(tmp_path, monkeypatch, fault):
    home = pretend_to_install(tmp_path)
    marker = home / "ddbverify-pins.txt"
    if fault == "no marker":
        marker.unlink()
    elif fault == "other pins":
        marker.write_text("ministack==0.0.1\n")
    else:
        (home / "bin" / "python").unlink()
        (home / "bin" / "python").symlink_to(tmp_path / "gone")
    (home / "left-over").touch()
    without_network(monkeypatch, tmp_path)

    ensure_environment(tmp_path, pins=PINS, progress=lambda line: None)

    assert marker.read_text().split() == list(PINS)
    assert not (home / "left-over").exists()
    assert not list(tmp_path.glob(".building-*"))


def without_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str = "") -> None:
    """Put a recorder in the place of venv and pip: it makes the folder and counts the builds."""
    builds = tmp_path / "builds"

    def run(command: list[str], message: str, hint: str) -> None:
        if "venv" in command:
            (Path(command[-1]) / "bin").mkdir()
            (Path(command[-1]) / "bin" / "python").symlink_to(sys.executable)
        else:
            with builds.open("a") as counted:
                counted.write("built\n")

    monkeypatch.setattr("replicator.embedded.environment._run", run)


TWO_AT_ONCE = """
import sys, time
from pathlib import Path
from replicator.embedded import environment

def run(command, message, hint):
    if "venv" in command:
        (Path(command[-1]) / "bin").mkdir()
        (Path(command[-1]) / "bin" / "python").symlink_to(sys.executable)
        time.sleep(1)
    else:
        with Path(sys.argv[1], "builds").open("a") as counted:
            counted.write("built\\n")

environment._run = run
print(environment.ensure_environment(Path(sys.argv[1])))
"""


def test_two_processes_install_it_once(tmp_path):
    started = [
        subprocess.Popen(
            [sys.executable, "-c", TWO_AT_ONCE, str(tmp_path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    printed = [process.communicate() for process in started]

    assert [process.returncode for process in started] == [0, 0, 0], printed
    assert len({out for out, _ in printed}) == 1
    assert (tmp_path / "builds").read_text().splitlines() == ["built"]


def test_what_pip_says_is_in_the_error_and_nothing_is_left_behind(tmp_path):
    pins = ("no-such-package-of-ddbverify==1.0", "--no-index")
    with pytest.raises(EngineError) as refused:
        ensure_environment(tmp_path, pins=pins, progress=lambda line: None)

    assert "pip could not install the embedded AWS" in refused.value.message
    assert "no-such-package-of-ddbverify" in refused.value.message
    assert "python -m replicator.embedded install" in refused.value.hint
    assert [entry.name for entry in tmp_path.iterdir()] == [".lock"]


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(EngineError) as refused:
        ensure_environment(tmp_path / "file" / "engines", progress=lambda line: None)
    assert "DDBVERIFY_ENGINES" in refused.value.hint


def test_a_damaged_installation_is_a_clear_error(tmp_path, monkeypatch, temporary):
    home = pretend_to_install(tmp_path / "engines")
    monkeypatch.setenv("DDBVERIFY_ENGINES", str(tmp_path / "engines"))
    with pytest.raises(EngineError) as refused, embedded_aws():
        pass
    assert "No module named ministack" in refused.value.message
    assert str(home) in refused.value.hint
    assert not list(temporary.iterdir())


@linux_only
@pytest.mark.parametrize("raises", [True, False])
def test_its_own_end_while_in_use_is_told(temporary, raises):
    expected = KeyError if raises else EngineError
    with pytest.raises(expected) as told, embedded_aws():  # noqa: PT012 - the block is the subject
        folder = only_folder(temporary)
        found = processes_of(folder)
        (launcher,) = [pid for pid, command in found.items() if "launcher.py" in command]
        (pid,) = found.keys() - {launcher}
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not folder.exists(), "the launcher has cleaned up")
        wait_until(lambda: is_dead(launcher), "the launcher has ended")
        if raises:
            raise KeyError
    words = "\n".join(getattr(told.value, "__notes__", [])) + str(told.value)
    assert "ended by itself" in words
    assert "Ready" in words  # the end of its log


def is_dead(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"DDBVERIFY_ENGINES": "/here"}, "/here"),
        ({"XDG_CACHE_HOME": "/cache"}, "/cache/ddbverify/engines"),
        ({"DDBVERIFY_ENGINES": ""}, "~/.cache/ddbverify/engines"),
    ],
)
def test_where_engines_are_kept(environ, expected):
    assert engines_folder(environ) == Path(expected).expanduser()


def test_other_pins_have_another_folder(tmp_path):
    assert environment_folder(tmp_path, PINS) != environment_folder(tmp_path, ("ministack==2.0",))


def test_a_child_that_ignores_sigterm_ends_with_its_block(tmp_path, temporary):
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('up', flush=True); time.sleep(300)"
    )
    folder = temporary / "child"
    folder.mkdir()
    log = tmp_path / "log"
    with child_process(
        [sys.executable, "-c", stubborn], clean_environment(folder), folder=folder, log=log
    ) as child:
        wait_until(lambda: "up" in log.read_text(), "it runs")
        assert child.ended() is None
    assert not folder.exists()


# The small command line.


def test_run_prints_what_a_shell_needs_and_ends_with_ctrl_c(tmp_path):
    running = subprocess.Popen(
        [sys.executable, "-m", "replicator.embedded", "run", "--region", REGION],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert running.stdout is not None
    lines: list[str] = []
    for line in running.stdout:
        lines.append(line.strip())
        if "Ctrl-C" in line:
            break
    exported = dict(
        line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export ")
    )
    assert answers(exported["AWS_ENDPOINT_URL"])
    assert exported["AWS_REGION"] == REGION

    time.sleep(0.2)  # it waits for the signal now, or very soon: either way Ctrl-C has to end it
    os.killpg(running.pid, signal.SIGINT)
    _, said = running.communicate()

    assert running.returncode == 0, said
    assert "Traceback" not in said
    wait_until(lambda: not answers(exported["AWS_ENDPOINT_URL"]), "it no longer answers")


def test_install_says_where_it_is():
    done = subprocess.run(
        [sys.executable, "-m", "replicator.embedded", "install"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(engines_folder()) in done.stdout


def test_progress_is_told_before_anything_slow(tmp_path, monkeypatch):
    said: list[str] = []
    report: Callable[[str], None] = said.append
    without_network(monkeypatch, tmp_path)
    ensure_environment(tmp_path, progress=report)
    assert "installing the embedded AWS" in said[0]
    assert str(tmp_path) in said[1]


def test_run_with_a_command_gives_it_an_aws_and_ends_with_its_status():
    told = "import os; print(os.environ['AWS_ENDPOINT_URL'], os.environ['AWS_REGION']); raise SystemExit(7)"

    done = subprocess.run(
        [sys.executable, "-m", "replicator.embedded", "run", "--region", REGION, sys.executable, "-c", told],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 7, done.stderr
    endpoint, region = done.stdout.split()
    assert region == REGION
    wait_until(lambda: not answers(endpoint), "it no longer answers")


def test_run_with_a_command_that_does_not_exist_is_a_usage_error():
    done = subprocess.run(
        [sys.executable, "-m", "replicator.embedded", "run", "no-such-program"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "There is no program no-such-program" in done.stderr


def test_over_tls_a_policy_that_wants_it_lets_a_role_through(temporary, aws, unique):
    """Without TLS the same request is refused, as on AWS; the root of an account passes either way."""

    def put(running: EmbeddedAws) -> None:
        bucket, name = unique("code"), unique("role")
        s3, iam = running.client("s3", REGION), running.client("iam", REGION)
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        condition = {"Bool": {"aws:SecureTransport": "false"}}
        deny = {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": f"arn:aws:s3:::{bucket}/*",
            "Condition": condition,
        }
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]}))
        trust = {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{running.account_id}:root"},
            "Action": "sts:AssumeRole",
        }
        made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
        allow = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"}
        iam.put_role_policy(
            RoleName=name,
            PolicyName="may",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allow]}),
        )
        keys = running.client("sts", REGION).assume_role(RoleArn=made["Role"]["Arn"], RoleSessionName="me")
        session: Any = running.session(REGION)
        session.client(
            "s3",
            aws_access_key_id=keys["Credentials"]["AccessKeyId"],
            aws_secret_access_key=keys["Credentials"]["SecretAccessKey"],
            aws_session_token=keys["Credentials"]["SessionToken"],
        ).put_object(Bucket=bucket, Key="one", Body=b"1")

    with pytest.raises(ClientError, match="AccessDenied"):
        put(aws)
    with embedded_aws(tls=True) as running:
        assert running.endpoint_url.startswith("https://")
        assert running.variables(REGION)["AWS_CA_BUNDLE"] == running.ca_bundle
        put(running)
        running.reset()
