"""What a demonstration in a user's account is called, so that it can be told from all else there. Pure."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Any, Final

TAG: Final = "ddbverify-demo"
"""Key of the tag of everything that a run makes; its value is the run's id."""

PATH: Final = "/ddbverify-demo/"
"""Of the writers' role and of the parameters, by which they are listed."""

LEASE: Final = f"{PATH}lease"
"""The parameter that only one run has in an account and region."""

_ID: Final = re.compile(r"[0-9a-f]{8}")
_TABLE: Final = re.compile(r"demo-([0-9a-f]{8})-shop(-v2)?")


@dataclass(frozen=True, slots=True)
class Run:
    """
    One run.

    Args:
        id: Eight hexadecimal digits, drawn anew for each, in every name that it gives.
    """

    id: str

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ValueError(f"{self.id!r} is no run")

    @classmethod
    def new(cls) -> Run:
        """One that nobody has had."""
        return cls(secrets.token_hex(4))

    @property
    def migration(self) -> str:
        """Name of its migration."""
        return f"demo-{self.id}"

    @property
    def source(self) -> str:
        """Its first table."""
        return f"{self.migration}-shop"

    @property
    def target(self) -> str:
        """The table that it moves to."""
        return f"{self.migration}-shop-v2"

    @property
    def role(self) -> str:
        """Of its writers."""
        return f"{self.migration}-writers"

    @property
    def pointer(self) -> str:
        """The parameter that its writers read."""
        return f"{PATH}{self.id}/table"

    @property
    def stacks(self) -> str:
        """What the names of its stacks begin with; its tables, queues and functions are theirs."""
        return f"replicator-{self.migration}-"

    @property
    def logs(self) -> str:
        """What the names of its log groups begin with."""
        return f"/replicator/{self.migration}"

    @property
    def tags(self) -> list[Any]:
        """As most services take them."""
        return [{"Key": TAG, "Value": self.id}]

    def owns(self, tags: list[Any]) -> bool:
        """Whether these tags are of something of this run."""
        return {"Key": TAG, "Value": self.id} in [{"Key": one["Key"], "Value": one["Value"]} for one in tags]


def of_table(name: str) -> Run | None:
    """The run whose table has this name."""
    found = _TABLE.fullmatch(name)
    return Run(found[1]) if found else None


def of_id(text: object) -> Run | None:
    """The run of this id, where it is one."""
    return Run(text) if isinstance(text, str) and _ID.fullmatch(text) else None
