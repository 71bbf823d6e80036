"""
Botocore's errors in our own words.

Apart from the clients: what travels to Lambda takes this, and no settings.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import botocore.exceptions
import botocore.parsers

from ddbverify.errors import AccessError, EngineError, NotFoundError, ThrottledError
from ddbverify.tables import credentials
from ddbverify.words import page

_NOT_FOUND: Final = {
    "ResourceNotFoundException",
    "TableNotFoundException",
    "BackupNotFoundException",
    "ExportNotFoundException",
    "ParameterNotFound",
    "PolicyNotFoundException",
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
    "NoSuchBucket",
    "NoSuchKey",
    "NoSuchEntity",
}
_ACCESS: Final = {
    "AccessDenied",
    "AccessDeniedException",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "SignatureDoesNotMatch",
    "UnauthorizedOperation",
    "UnrecognizedClientException",
}
_THROTTLED: Final = {
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}


def error_code(error: botocore.exceptions.ClientError) -> str:
    """The service's own code, such as ``ConditionalCheckFailedException``."""
    return str(error.response.get("Error", {}).get("Code", "Unknown"))


def code_of(error: EngineError) -> str:
    """The service's code that caused one of our errors; empty if no service answered."""
    cause = error.__cause__
    return error_code(cause) if isinstance(cause, botocore.exceptions.ClientError) else ""


@contextmanager
def translated(action: str) -> Iterator[None]:
    """
    Turn the errors of botocore into ours.

    Args:
        action: What is being tried, as the words after "AWS refused to", such as
            "describe the table orders". No values, no keys.

    Raises:
        NotFoundError, AccessError, ThrottledError, EngineError: With the service's code and
            request id, the original error as cause.
    """
    try:
        yield
    except botocore.exceptions.ClientError as error:
        raise _from_client_error(error, action) from error
    except credentials.ERRORS as error:
        raise AccessError(
            f"There are no usable AWS credentials to {action}: {credentials.why(error)}",
            credentials.hint(error),
        ) from None
    except botocore.exceptions.ParamValidationError:
        # Its text quotes the parameters, and they may hold an item: neither shown nor chained.
        raise EngineError(
            f"Could not {action}: the request is not one that AWS takes.",
            "this is a defect of ours if your items are valid; please report the command that you ran.",
        ) from None
    except botocore.parsers.ResponseParserError:
        # Its text quotes the answer, which is somebody else's.
        raise EngineError(
            f"Could not {action}: the response is not this service's.",
            "check endpoint_url and proxies, then run the command again.",
        ) from None
    except botocore.exceptions.BotoCoreError as error:
        raise EngineError(
            f"Could not {action}: {error}",
            "check region, endpoint_url and the network, then run the command again.",
        ) from error


def _from_client_error(error: botocore.exceptions.ClientError, action: str) -> EngineError:
    code = error_code(error)
    details = error.response.get("Error", {}).get("Message", "")
    if not code or code.isdigit():  # no error of AWS's: botocore makes a message of whatever came
        details = "the answer is no error of AWS's; check endpoint_url and proxies"
    request = error.response.get("ResponseMetadata", {}).get("RequestId", "unknown")
    said = f"AWS refused to {action}: {code}"
    if code in _NOT_FOUND or "NotFound" in code:
        return NotFoundError(
            f"{said}: {details} (request {request})",
            "check the name and the region.",
        )
    if code in _ACCESS:
        return AccessError(
            f"{said}: {details} (request {request})",
            f"give this identity the permission ({page('permissions.md')}), or use another profile.",
        )
    if code in _THROTTLED:
        return ThrottledError(
            f"{said}, after all retries (request {request})",
            "wait a minute and run the command again; lower the rate if it comes back.",
        )
    # A validation message can quote the request, and the request can hold an item: keep the code only.
    shown = "" if code.startswith(("Validation", "Transaction", "Serialization")) else f": {details}"
    return EngineError(
        f"{said}{shown} (request {request})",
        "look the code up in the service's API reference; running the command again is safe.",
    )
