"""
Where a live page is: port and token, kept so that an open page goes on when its command starts again.

The file is beside the runs, mode 0600: whoever may read it may read the log, too.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from ddbverify.evidence import folders

HOST: Final = "127.0.0.1"


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Of one live page."""

    port: Annotated[int, Meta(ge=0, le=65535)]  # 0: any
    token: Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{43}$")]

    @property
    def url(self) -> str:
        """Where it is, token and all."""
        return f"http://{HOST}:{self.port}/{self.token}/"


def kept(path: Path) -> Address:
    """The address of before; a new one where there is none, or none that makes sense."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Address)
    except (OSError, msgspec.MsgspecError):
        return Address(port=0, token=secrets.token_urlsafe(32))


def keep(path: Path, address: Address) -> None:
    """
    Let the address be found again.

    Raises:
        OSError: It cannot be written.
    """
    folders.write_atomically(path, msgspec.json.encode(address))
