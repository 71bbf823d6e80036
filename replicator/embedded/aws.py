"""Start the embedded AWS, and say how to talk to it."""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import secrets
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import boto3
import botocore.session
from botocore.config import Config

from ddbverify.errors import EngineError
from ddbverify.tables.aws import shared_loader
from replicator.embedded import certificate
from replicator.embedded.certificate import Certificate
from replicator.embedded.environment import Progress, ensure_environment, say
from replicator.embedded.process import (
    HOST,
    Child,
    child_folder,
    child_process,
    clean_environment,
    free_port,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_sts import STSClient

ACCOUNT_ID = "123456789012"
START_SECONDS = 60.0  # until we give up; it takes 0.3 s on a machine that has run it before
PORT_ATTEMPTS = 5

_SECRET = "test"  # noqa: S105 - what ministack expects of a root caller; it guards nothing
_NO_PROFILE = {  # botocore's session variables: name in a profile, environment variable, default, converter
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


@dataclasses.dataclass(frozen=True, slots=True)
class EmbeddedAws:
    """A running embedded AWS, seen as the root of one account. Roles and policies are enforced."""

    endpoint_url: str
    account_id: str = ACCOUNT_ID  # twelve digits; ministack takes such an access key as that account's root
    ca_bundle: str | None = None  # file with the certificate to trust, where it is spoken to over TLS

    def as_account(self, account_id: str) -> EmbeddedAws:
        """Return the same AWS seen from another account (twelve digits)."""
        return dataclasses.replace(self, account_id=account_id)

    def variables(self, region: str) -> dict[str, str]:
        """Return the environment variables that point any AWS tool here, and nowhere else, in *region*."""
        bypass = ",".join(filter(None, (os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), HOST)))
        return {
            "AWS_ACCESS_KEY_ID": self.account_id,
            "AWS_SECRET_ACCESS_KEY": _SECRET,
            "AWS_DEFAULT_REGION": region,
            "AWS_REGION": region,
            # With it, a tool that nobody told of an endpoint cannot end up at real AWS.
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,  # the user's own profiles are never read
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": bypass,
            "no_proxy": bypass,
        } | ({"AWS_CA_BUNDLE": self.ca_bundle} if self.ca_bundle else {})

    def environment(self, region: str) -> dict[str, str]:
        """
        Return a whole environment for a child process that talks to this AWS.

        Ours, less every ``AWS_*`` variable (a profile or a session token would
        win over what stands here), plus ``variables``.
        """
        ours = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return ours | self.variables(region)

    def session(self, region: str) -> boto3.Session:
        """Return a session whose clients talk to this AWS, whatever the process's environment says."""
        core = _EmbeddedSession(self.endpoint_url, self.ca_bundle)
        core.set_credentials(self.account_id, _SECRET)
        return boto3.Session(botocore_session=core, region_name=region)

    @overload
    def client(self, service: Literal["dynamodb"], region: str) -> DynamoDBClient: ...
    @overload
    def client(self, service: Literal["iam"], region: str) -> IAMClient: ...
    @overload
    def client(self, service: Literal["ssm"], region: str) -> SSMClient: ...
    @overload
    def client(self, service: Literal["sts"], region: str) -> STSClient: ...
    @overload
    def client(self, service: str, region: str) -> Any: ...
    def client(self, service: str, region: str) -> Any:
        """Return a boto3 client of *service* in *region*."""
        make: Any = self.session(region).client  # of any service: tests ask for more than we do
        return make(service)

    def reset(self) -> None:
        """
        Delete everything in every account and region.

        Raises:
            EngineError: It did not answer, or could not.
        """
        port = self.endpoint_url.rpartition(":")[2]
        status, _ = _ask(port, "POST", "/_ministack/reset", seconds=60, trusted=self.ca_bundle)
        if status != http.client.OK:
            raise EngineError(
                f"The embedded AWS at {self.endpoint_url} could not be reset (status {status}).",
                "start a new one; what it holds is lost with the old one.",
            )


class _EmbeddedSession(botocore.session.Session):
    """A botocore session without profiles and proxies, and with a default endpoint, which botocore lacks."""

    def __init__(self, endpoint_url: str, ca_bundle: str | None) -> None:
        super().__init__(session_vars=_NO_PROFILE)
        self._endpoint_url = endpoint_url
        self.set_config_variable("ca_bundle", ca_bundle)
        self.register_component("data_loader", shared_loader())
        self.set_default_client_config(Config(proxies={}, retries={"mode": "standard"}))

    def create_client(self, service_name: str, *arguments: Any, **settings: Any) -> Any:
        """Create a client at our endpoint unless another is named."""
        if not settings.get("endpoint_url"):
            settings["endpoint_url"] = self._endpoint_url
        return super().create_client(service_name, *arguments, **settings)


@contextmanager
def embedded_aws(
    *, log: Path | None = None, progress: Progress = say, tls: bool = False
) -> Iterator[EmbeddedAws]:
    """
    Run an embedded AWS for the length of a ``with`` block.

    It listens on a free port of 127.0.0.1 and on nothing else, starts empty,
    and is gone with its files when the block ends or this process does.

    Args:
        log: Keeps its log there; by default it is removed with the rest.
        progress: Called with a line of plain words before anything slow.
        tls: Speak TLS, with a certificate of its own: what a policy says of ``aws:SecureTransport`` then
            holds as on AWS.

    Raises:
        EngineError: It could not be installed, did not start, or ended before
            the block did; the message holds the end of its log.
    """
    python = ensure_environment(progress=progress)
    with ExitStack() as stack:
        aws, child = _start(stack, python, log, tls=tls)
        try:
            yield aws
        except BaseException as error:
            if child.ended() is not None:
                error.add_note(f"The embedded AWS had ended by itself. Its log ends with:\n{child.tail()}")
            raise
        if child.ended() is not None:
            raise _failed(child, python, f"ended by itself (status {child.ended()}) while it was in use")


def _start(stack: ExitStack, python: Path, log: Path | None, *, tls: bool) -> tuple[EmbeddedAws, Child]:
    """Start ministack on a port that nobody else takes first, to be ended by *stack*."""
    for _ in range(PORT_ATTEMPTS):
        with ExitStack() as attempt:
            port = free_port()
            token = secrets.token_hex(8)
            folder = attempt.enter_context(child_folder("ddbverify-aws-"))
            files = certificate.make(folder, HOST) if tls else None
            child = attempt.enter_context(
                child_process(
                    [str(python), "-I", "-m", "ministack"],
                    _ministack_environment(folder, port, token, files),
                    folder=folder,
                    log=log or folder / "ministack.log",
                )
            )
            trusted = None if files is None else str(files.certificate)
            if _wait_until_healthy(child, python, port, token, trusted):
                stack.push(attempt.pop_all())
                scheme = "https" if tls else "http"
                return EmbeddedAws(f"{scheme}://{HOST}:{port}", ca_bundle=trusted), child
    raise EngineError(
        f"The embedded AWS found no free port: {PORT_ATTEMPTS} were taken by others first.",
        "run this again when fewer programs are being started.",
    )


def _ministack_environment(folder: Path, port: int, token: str, files: Certificate | None) -> dict[str, str]:
    """Return ministack's whole environment (read in its source, 1.5.33)."""
    over_tls = {}
    if files is not None:
        over_tls = {
            "USE_SSL": "1",
            "MINISTACK_SSL_CERT": str(files.certificate),
            "MINISTACK_SSL_KEY": str(files.key),
            "AWS_CA_BUNDLE": str(files.certificate),  # of the functions that it runs
        }
    return (
        clean_environment(folder)
        | over_tls
        | {
            "AUTH": "true",
            "BIND_HOST": HOST,
            "GATEWAY_PORT": str(port),
            "IOT_MTLS_ENABLED": "0",  # would listen on 0.0.0.0:8883
            "SFTP_ENABLED": "0",
            "STATE_DIR": str(folder / "state"),
            "S3_DATA_DIR": str(folder / "s3"),
            "DOCKER_HOST": f"unix://{folder}/no-docker.sock",  # it reaps containers of a docker that it finds
            "AWS_EC2_METADATA_DISABLED": "true",
            # Repeated by its health page: an answer with it is ours, not another instance's on the same port.
            "MINISTACK_EDITION": token,
        }
    )


def _wait_until_healthy(child: Child, python: Path, port: int, token: str, trusted: str | None) -> bool:
    """
    Wait until ministack answers on *port*.

    Returns:
        ``False`` when another process had taken the port.

    Raises:
        EngineError: It ended, or had not answered after ``START_SECONDS``.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if (status := child.ended()) is not None:
            if "already in use" in child.tail().lower():
                return False
            raise _failed(child, python, f"ended at its start (status {status})")
        try:
            _, health = _ask(str(port), "GET", "/_ministack/health", seconds=1, trusted=trusted)
            if json.loads(health).get("edition") == token:
                return True
        except (OSError, http.client.HTTPException, ValueError, AttributeError):
            pass  # not up yet, or not ours
        time.sleep(0.05)
    raise _failed(child, python, f"did not answer within {START_SECONDS:g} s")


def _ask(port: str, method: str, path: str, *, seconds: float, trusted: str | None) -> tuple[int, bytes]:
    """Send one request without any proxy; a plain connection knows of none."""
    connection: http.client.HTTPConnection
    if trusted:
        context = ssl.create_default_context(cafile=trusted)
        connection = http.client.HTTPSConnection(HOST, int(port), timeout=seconds, context=context)
    else:
        connection = http.client.HTTPConnection(HOST, int(port), timeout=seconds)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _failed(child: Child, python: Path, what: str) -> EngineError:
    home = python.parent.parent
    return EngineError(
        f"The embedded AWS {what}. Its log ends with:\n{child.tail() or '(nothing)'}",
        f"if its installation is damaged, remove {home} and run `python -m replicator.embedded install`.",
    )
