"""One pair of tables, with everything that has to be known of it before a step is taken."""

from __future__ import annotations

from dataclasses import dataclass

from ddbverify.config import Pair
from ddbverify.items.inverse import Inverse
from ddbverify.items.transform import Transform
from replicator.context.tables import TableFacts


@dataclass(frozen=True, slots=True)
class Through:
    """
    What a way back is replicated through, where a transform stands between its tables.

    Args:
        transform: Of an item of the table that follows it makes one of the table that leads.
        inverse: The other way round.
        transform_digest: Of all that the transform is made of.
        inverse_digest: Likewise.
    """

    transform: Transform
    inverse: Inverse
    transform_digest: str
    inverse_digest: str


@dataclass(frozen=True, slots=True)
class Plan:
    """One pair with everything that is known of it before a step is taken."""

    pair: Pair
    source: TableFacts
    target: TableFacts | None  # None: restore makes it
    target_arn: str
    target_account: str
    transform: Transform
    digest: str  # of all that the transform is made of; empty without one
    through: Through | None = None  # of a way back; its transform is the identity then

    @property
    def crosses_accounts(self) -> bool:
        """Whether source and target belong to two accounts."""
        return self.source.account != self.target_account

    @property
    def needs_staging(self) -> bool:
        """Whether the backup cannot become the target itself."""
        return self.pair.transform is not None or self.crosses_accounts or self.target is not None
