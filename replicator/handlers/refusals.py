"""A refusal of AWS in the words that a log may hold: no ARN, no value."""

from __future__ import annotations

import re
from typing import Final

from botocore.exceptions import ClientError

_ACTION: Final = re.compile(r"to perform: ([a-z0-9-]+:[A-Za-z]+)")
"""How AWS words it: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html"""


def in_short(error: ClientError) -> str:
    """The error's code, and the action that is missing where AWS names it."""
    code = error.response["Error"]["Code"]
    found = _ACTION.search(error.response["Error"].get("Message", ""))
    return f"{code}, {found[1]}" if found else code
