"""What is looked at before a demonstration in a user's account makes anything, and its lease there."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.exceptions import ClientError

from ddbverify.config import Side
from ddbverify.errors import ConfigurationError, NotFoundError, Refused
from ddbverify.tables import aws
from ddbverify.tables.aws import error_code, translated
from replicator.demo import leftovers
from replicator.demo.own_run import LEASE, Run

LEAST_CONCURRENCY: Final = 6
"""Two functions of each of two directions; a mapping of a queue takes two at once at least."""

CLEAN: Final = "replicator demo --aws --clean"


@dataclass(frozen=True, slots=True)
class Account:
    """
    Where the demonstration is to be played.

    Args:
        id: Twelve digits.
        partition: ``aws``, or another.
        emulated: Whether it is known to be an emulator's.
        concurrency: Functions that may run at once there, none of them reserved.
    """

    session: boto3.Session
    id: str
    partition: str
    region: str
    emulated: bool
    concurrency: int


def account(region: str | None, *, needs_room: bool = True) -> Account:
    """
    Find out whose account it is, and whether there is room in it.

    Args:
        region: ``None``: the AWS configuration's.
        needs_room: Whether something is to be made there.

    Raises:
        ConfigurationError: There is no region.
        EngineError: There are no credentials, or AWS refuses them.
        Refused: Lambda has too little concurrency left.
    """
    session = aws.session(Side(region=region))
    if session.region_name is None:
        raise ConfigurationError(
            "No region is set for the demonstration.", "name one with --region, or set AWS_REGION."
        )
    with translated("say whose credentials these are"):
        sts = session.client("sts")
        arn = sts.get_caller_identity()["Arn"]
    concurrency = 0
    if needs_room:
        with translated("say how many functions may run at once"):
            limit = session.client("lambda").get_account_settings()["AccountLimit"]
        concurrency = int(limit["UnreservedConcurrentExecutions"])
    if needs_room and concurrency < LEAST_CONCURRENCY:
        raise Refused(
            f"Lambda lets {concurrency} functions run at once in {session.region_name}, where nothing is "
            f"reserved: the demonstration needs {LEAST_CONCURRENCY}.",
            "take reserved concurrency back there, ask AWS for a higher quota, or use another region.",
        )
    _, partition, _, _, account_id, _ = arn.split(":", 5)
    return Account(session, account_id, partition, session.region_name, aws.is_emulator(sts), concurrency)


def need_nothing_left(of: Account) -> None:
    """
    Refuse to begin while another run is under way there, or has left something.

    Raises:
        Refused: With its id, and since when.
    """
    begun = lease(of.session)
    if begun is not None:
        raise Refused(_told(begun), _hint(begun))
    left = leftovers.runs(of.session)
    if left:
        raise Refused(
            f"A demonstration has left something in {of.region}: {', '.join(one.id for one in left)}.",
            f"remove it with `{CLEAN}`.",
        )


def take(of: Account, run: Run, minutes: float) -> None:
    """
    Take the one lease of an account and region: the first thing that is made, and the last that is removed.

    Raises:
        Refused: Another run has been faster.
    """
    value = {
        "run": run.id,
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "minutes": minutes,
        "host": socket.gethostname(),
        "process": os.getpid(),
        "birth": birth(os.getpid()),
    }
    try:
        of.session.client("ssm").put_parameter(
            Name=LEASE, Value=json.dumps(value), Type="String", Overwrite=False, Tags=run.tags
        )
    except ClientError as error:
        if error_code(error) != "ParameterAlreadyExists":
            with translated(f"set the parameter {LEASE}"):
                raise
        begun = lease(of.session) or {}
        raise Refused(_told(begun), _hint(begun)) from None


def lease(session: boto3.Session) -> Mapping[str, Any] | None:
    """
    What the run that has the lease says of itself.

    Raises:
        Refused: The parameter holds something else.
    """
    try:
        with translated(f"read the parameter {LEASE}"):
            text = session.client("ssm").get_parameter(Name=LEASE)["Parameter"]["Value"]
    except NotFoundError:
        return None
    try:
        found = json.loads(text)
        Run(found["run"])
    except (ValueError, KeyError, TypeError):
        raise Refused(
            f"The parameter {LEASE} holds something that no demonstration has written.",
            "look at it, and remove it if nobody needs it.",
        ) from None
    return dict(found)


def is_alive(begun: Mapping[str, Any]) -> bool | None:
    """Whether the process of that run is still there; ``None``: it is another machine's."""
    if begun.get("host") != socket.gethostname():
        return None
    try:
        process = int(begun["process"])
        os.kill(process, 0)
    except (ProcessLookupError, ValueError, KeyError):
        return False
    except PermissionError:
        pass  # it is there, and another user's
    noted, found = begun.get("birth"), birth(process)
    return noted is None or found is None or noted == found


def birth(process: int) -> str | None:
    """
    What tells a process from a later one of the same number: the boot, and the moment in it when it began.

    ``None`` where this system does not say (macOS). Source: proc_pid_stat(5), field 22, ``starttime``;
    the name in field 2 may hold spaces and brackets, so fields are counted behind its last bracket.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    behind = fields.rpartition(")")[2].split()  # begins with field 3
    return f"{boot} {behind[22 - 3]}" if len(behind) > 22 - 3 else None


def _told(begun: Mapping[str, Any]) -> str:
    return f"The demonstration {begun.get('run')} has begun here at {begun.get('began')} and has not ended."


def _hint(begun: Mapping[str, Any]) -> str:
    alive = is_alive(begun)
    if alive:
        return "wait for its end, or interrupt it: it removes what it has made."
    gone = "its process is gone" if alive is False else "if it runs on no other machine"
    return f"{gone}: remove what it has left with `{CLEAN}`."
