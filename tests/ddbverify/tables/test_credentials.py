"""Credentials that cannot be had: exit 6, one message, no traceback, and nothing that a process wrote."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import botocore.session
import pytest
from botocore.exceptions import ClientError

from ddbverify.config import Side
from ddbverify.errors import AccessError, ConfigurationError
from ddbverify.tables import aws, credentials
from ddbverify.tables.table import describe
from tests.ddbverify.projects import REPOSITORY

SECRET = "do-not-show-me"
CONFIG = f"""
[profile web]
role_arn = arn:aws:iam::123456789012:role/r
web_identity_token_file = /nowhere/token

[profile process]
credential_process = {sys.executable} -c "import sys; sys.stderr.write('{SECRET}'); sys.exit(3)"

[profile no_process]
credential_process = /nowhere/program --token {SECRET}

[profile no_json]
credential_process = {sys.executable} -c "print('{SECRET}')"

[profile no_keys]
credential_process = {sys.executable} -c "print('[1, 2]')"

[profile old_version]
credential_process = {sys.executable} -c "print('{{}}')"

[profile loop_a]
role_arn = arn:aws:iam::123456789012:role/a
source_profile = loop_b

[profile loop_b]
role_arn = arn:aws:iam::123456789012:role/b
source_profile = loop_a

[profile no_source]
role_arn = arn:aws:iam::123456789012:role/a
source_profile = nowhere

[profile partial]
aws_access_key_id = AKIAIOSFODNN7EXAMPLE

[profile keys]
aws_access_key_id = AKIAIOSFODNN7EXAMPLE
aws_secret_access_key = {SECRET}

[profile mfa]
role_arn = arn:aws:iam::123456789012:role/a
source_profile = keys
mfa_serial = arn:aws:iam::123456789012:mfa/me

[profile sso]
sso_start_url = https://example.awsapps.com/start
sso_region = eu-west-1
sso_account_id = 123456789012
sso_role_name = reader

[profile sso_session]
sso_session = shop
sso_account_id = 123456789012
sso_role_name = reader

[sso-session shop]
sso_start_url = https://example.awsapps.com/start
sso_region = eu-west-1
"""
BROKEN = [
    ("web", "No such file or directory: /nowhere/token"),
    ("process", "the `credential_process` of the profile failed"),
    ("no_process", "No such file or directory"),
    ("no_json", "JSONDecodeError"),
    ("no_keys", "AttributeError"),
    ("old_version", "the `credential_process` of the profile failed"),
    ("loop_a", "Infinite loop"),
    ("no_source", "nowhere"),
    ("partial", "aws_secret_access_key"),
    ("mfa", "no terminal to ask on"),
    ("sso", "SSO"),
    ("sso_session", "SSO"),
]


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "config").write_text(CONFIG)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return tmp_path


@pytest.mark.parametrize(("profile", "said"), BROKEN)
def test_every_way_in_which_credentials_cannot_be_had_is_one_error(home, monkeypatch, profile, said):
    monkeypatch.setattr(credentials, "_has_terminal", lambda: False)

    with pytest.raises(AccessError) as caught:
        describe(Side(region="eu-west-1", profile=profile), "orders")

    assert "There are no usable AWS credentials" in caught.value.message
    assert said in caught.value.message
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert "aws sso login" in caught.value.hint
    assert "--source-profile" in caught.value.hint, "diff reads no file"


class _Sts:
    """Gives a role's credentials for a code, and each code counts once."""

    def __init__(self):
        self.codes = []

    def assume_role(self, *, TokenCode, **_):  # noqa: N803 - as botocore calls it
        assert TokenCode not in self.codes
        self.codes.append(TokenCode)
        expires = datetime.now(UTC) + timedelta(hours=1)
        keys = {"AccessKeyId": "a", "SecretAccessKey": SECRET, "SessionToken": "t", "Expiration": expires}
        return {
            "Credentials": keys,
            "AssumedRoleUser": {"Arn": "arn:aws:sts::123456789012:assumed-role/a/me"},
        }


def test_one_code_of_mfa_is_enough_for_every_client(home, monkeypatch):
    sts, ours = _Sts(), botocore.session.Session.create_client
    monkeypatch.setattr(credentials, "_ASSUMED", {})
    monkeypatch.setattr(credentials, "_ask", lambda prompt: "123456")
    monkeypatch.setattr(
        botocore.session.Session,
        "create_client",
        lambda self, service, *a, **more: sts if service == "sts" else ours(self, service, *a, **more),
    )

    for service in ("dynamodb", "sqs", "lambda"):
        client = aws.client(Side(region="eu-west-1", profile="mfa"), service, shared=False)
        client.meta.events.emit(f"provide-client-params.{service}.Anything")

    assert sts.codes == ["123456"]


def _sso_session(home, expires):
    """The cache that ``aws sso login`` leaves."""
    import hashlib

    cache = home / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    token = {
        "startUrl": "https://example.awsapps.com/start",
        "region": "eu-west-1",
        "accessToken": SECRET,
        "expiresAt": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    for name in ("shop", "https://example.awsapps.com/start"):
        (cache / f"{hashlib.sha1(name.encode()).hexdigest()}.json").write_text(json.dumps(token))


@pytest.mark.parametrize("profile", ["sso", "sso_session"])
def test_an_expired_session_of_sso_is_said_to_be_one(home, profile):
    _sso_session(home, datetime.now(UTC) - timedelta(hours=1))

    with pytest.raises(AccessError, match=r"(?i)no usable AWS credentials.*(expired|sso)") as caught:
        describe(Side(region="eu-west-1", profile=profile), "orders")

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ["ddbverify", "plan", "orders", "orders-v2", "--source-region", "eu-west-1"],
        ["ddbverify", "diff", "orders", "orders-v2", "--source-region", "eu-west-1"],
    ],
)
@pytest.mark.parametrize("profile", ["web", "process", "loop_a", "mfa", "sso_session"])
def test_the_command_ends_with_6_and_the_one_message(home, arguments, profile):
    more = ["--target-region", "eu-central-1", "--source-profile", profile]
    done = subprocess.run(
        [sys.executable, "-m", *arguments, *more],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # without a terminal
        check=False,
    )

    shown = done.stdout + done.stderr
    assert done.returncode == 6, shown
    assert "There are no usable AWS credentials" in shown
    assert "aws sso login" in shown
    for never in ("Traceback", "region` or `endpoint_url", SECRET, "Password", "MFA code for"):
        assert never not in shown


def test_an_aws_configuration_that_is_no_configuration_is_an_error_of_ours(home):
    (home / "config").write_text("nonsense\n")

    with pytest.raises(AccessError, match="Unable to parse config file"):
        aws.client(Side(region="eu-west-1"), "dynamodb")


def test_a_region_or_an_endpoint_that_is_none_is_still_said_to_be_that(home):
    with pytest.raises(ConfigurationError, match="No client for dynamodb") as caught:
        aws.client(Side(region="eu-west-1", profile="keys", endpoint_url="nonsense"), "dynamodb")

    assert "endpoint_url" in caught.value.hint


def test_a_profile_of_the_environment_that_is_not_there_is_named(home, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nowhere")

    with pytest.raises(ConfigurationError, match="no AWS profile 'nowhere'"):
        aws.client(Side(region="eu-west-1"), "dynamodb")


def test_a_renewal_that_fails_later_is_the_same_error(home):
    """The process gives credentials once, which are about to expire."""
    soon = (datetime.now(UTC) + timedelta(seconds=5)).isoformat()
    keys = {"Version": 1, "AccessKeyId": "a", "SecretAccessKey": SECRET, "Expiration": soon}
    program = home / "once.py"
    program.write_text(
        "import json, pathlib, sys\n"
        f"seen = pathlib.Path({str(home / 'seen')!r})\n"
        f"sys.exit({SECRET!r}) if seen.exists() else seen.touch()\n"
        f"print(json.dumps({keys!r}))\n"
    )
    (home / "config").write_text(f"[profile once]\ncredential_process = {sys.executable} {program}\n")

    with pytest.raises(AccessError, match="credential_process") as caught:
        describe(Side(region="eu-west-1", profile="once"), "orders")

    assert SECRET not in str(caught.value)


ROLE = "arn:aws-cn:iam::123456789012:role/teams/data+ops@x"


@pytest.mark.parametrize(
    ("message", "said", "tried"),
    [
        (f"User: a is not authorized to perform: sts:AssumeRole on resource: {ROLE}", ROLE, "trust policy"),
        (f"Something else, {SECRET}", "AssumeRole", "log in"),
        ("", "AssumeRole", "log in"),
    ],
)
def test_a_role_that_may_not_be_assumed_is_named_and_what_it_takes(message, said, tried):
    refused = ClientError({"Error": {"Code": "AccessDenied", "Message": message}}, "AssumeRole")

    with pytest.raises(AccessError, match="AccessDenied") as caught, credentials.loading():
        raise refused
    assert f"{said}: AccessDenied" in caught.value.message
    assert tried in caught.value.hint
    assert SECRET not in str(caught.value)
