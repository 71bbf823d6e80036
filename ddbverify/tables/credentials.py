"""
Credentials that cannot be loaded give one error: no traceback, and no output of other programs.

Botocore's chain reads files, starts processes, and asks services and people. It fails with errors of any
type, some when a client is made, some at its first request.
"""

from __future__ import annotations

import getpass
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import botocore.exceptions

from ddbverify.errors import AccessError, DdbVerifyError
from ddbverify.words import page

if TYPE_CHECKING:
    import boto3
    from botocore.client import BaseClient
    from botocore.credentials import Credentials

HINT: Final = (
    "log in (aws sso login), or name a profile: `profile` of [source] and [target] in migration.toml; "
    "`ddbverify diff` and `plan` without that file take --source-profile and --target-profile."
)

ERRORS: Final = tuple(
    getattr(botocore.exceptions, name)
    for name in (
        "NoCredentialsError",
        "PartialCredentialsError",
        "CredentialRetrievalError",
        "MetadataRetrievalError",
        "TokenRetrievalError",
        "NoAuthTokenError",
        "SSOError",
        "LoginError",
        "InvalidConfigError",
        "RefreshWithMFAUnsupportedError",
        "UnknownCredentialError",
    )
    if hasattr(botocore.exceptions, name)  # the botocore of Lambda's runtime is an older one
)
"""What botocore raises over credentials and nothing else."""

# Their texts quote what a process or a service wrote, and that can hold secrets.
_QUOTING: Final = (
    botocore.exceptions.CredentialRetrievalError,
    botocore.exceptions.MetadataRetrievalError,
)
_ASSUMED: Final[dict[str, Any]] = {}
"""Credentials of assumed roles, one for all sessions: a code for MFA is good for one request only."""

_ROLE: Final = re.compile(r"perform: sts:AssumeRole on resource: (arn:[\w-]+:iam::\d{12}:role/[\w+=,.@/-]+)")
"""How STS words it: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_roles.html"""

_PROVIDERS: Final = {"custom-process": "the `credential_process` of the profile failed"}


@contextmanager
def loading() -> Iterator[None]:
    """
    Turn whatever goes wrong while credentials are loaded into one error.

    Raises:
        AccessError: There are no usable credentials.
    """
    try:
        yield
    except (DdbVerifyError, botocore.exceptions.ProfileNotFound):
        raise
    except Exception as error:  # noqa: BLE001 - files, processes and services of the user's own
        # Not chained: the error may quote what a process wrote.
        raise AccessError(f"There are no usable AWS credentials: {why(error)}", hint(error)) from None


def load(session: boto3.Session) -> Credentials | None:
    """
    The credentials of a session; ``None`` if none are configured. MFA codes are asked for on a terminal only.

    Raises:
        AccessError: Credentials are configured and cannot be loaded.
    """
    _no_traceback_of_botocore()
    with loading():
        chain: Any = session._session.get_component("credential_provider")  # noqa: SLF001 - boto3 has no way to it
        for provider in chain.providers:
            if provider.METHOD == "assume-role":
                provider.cache = _ASSUMED
            if getattr(provider, "_prompter", None) is getpass.getpass:
                provider._prompter = _ask  # noqa: SLF001 - botocore reads standard input where no terminal is
        return session.get_credentials()


def assumed() -> dict[str, Any]:
    """Credentials of roles that this process has assumed, for another one."""
    return dict(_ASSUMED)


def take_assumed(known: Mapping[str, Any]) -> None:
    """Begin with those."""
    _ASSUMED.update(known)


def need(client: BaseClient, credentials: Credentials) -> None:
    """Renew *credentials* before each call of *client*, so that a failure is known to be theirs."""

    def renew(**_: Any) -> None:
        with loading():
            credentials.get_frozen_credentials()

    # The first event of a call: the endpoint, which comes next, is made of the account.
    client.meta.events.register_first("provide-client-params", renew)


def why(error: Exception) -> str:
    """What went wrong, in words that quote neither a process nor a service."""
    if isinstance(error, _QUOTING):
        provider = str(getattr(error, "kwargs", {}).get("provider", type(error).__name__))
        return f"{_PROVIDERS.get(provider, f'{provider} gave none')}."
    if isinstance(error, botocore.exceptions.ClientError):
        code = error.response.get("Error", {}).get("Code", "Unknown")
        what = f"sts:AssumeRole of {role}" if (role := _refused_role(error)) else error.operation_name
        return f"AWS refused {what}: {code}."
    if isinstance(error, OSError):
        place = f": {error.filename}" if error.filename else ""
        return f"{error.strerror or type(error).__name__}{place}."
    if isinstance(error, EOFError):
        return "the profile asks for an MFA code, and there is no terminal to ask on."
    if isinstance(error, botocore.exceptions.BotoCoreError):
        return str(error)
    return f"the profile's source of credentials gave something else ({type(error).__name__})."


def hint(error: Exception) -> str:
    """What to do about it."""
    if _refused_role(error):
        return (
            "let this identity's policy allow `sts:AssumeRole` on that role, and let the role's trust policy "
            f"name this identity; it takes both ({page('permissions.md')})."
        )
    return HINT


def _refused_role(error: Exception) -> str:
    """ARN of the role that an identity may not assume, where AWS names it."""
    if not isinstance(error, botocore.exceptions.ClientError) or error.operation_name != "AssumeRole":
        return ""
    found = _ROLE.search(error.response.get("Error", {}).get("Message", ""))
    return found[1] if found else ""


def _ask(prompt: str) -> str:
    if not _has_terminal():
        raise EOFError
    return getpass.getpass(prompt)


def _has_terminal() -> bool:
    try:
        with Path("/dev/tty").open("rb"):
            return True
    except OSError:
        return False


class _NoTraceback(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = record.exc_text = None
        return True


_NO_TRACEBACK: Final = _NoTraceback()


def _no_traceback_of_botocore() -> None:
    """Botocore logs failed renewals with tracebacks, and Python prints those where no log is configured."""
    for name in ("botocore.credentials", "botocore.tokens"):
        logging.getLogger(name).addFilter(_NO_TRACEBACK)
