"""One pair of tables as an estimate sees it. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

GB = 1e9
"""As AWS bills it, near enough: its sizes are six hours old."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """
    What is known of a pair before anything is made.

    Args:
        name: Of the pair, for people.
        source: ARN of the source.
        target: ARN that the target has, or will have.
        target_exists: Whether it is there.
        items: Of the source, hours old.
        size_bytes: Likewise.
        indexes: Secondary indexes of the target, or of the source where the target is to be made.
        backfill: As ``[replication]`` has it.
        transforms: Whether the pair has a transform.
        writes_per_second: Write units of the source, a second, over the last day; ``None``: not known.
        ceiling: ``[replication] write_units``.
        capacity: Write units a second of a target that is provisioned; ``None``: on demand.
        exported: Whether the export to load from is there already.
        imported: Whether the target is made by an import.
    """

    name: str
    source: str
    target: str
    target_exists: bool
    items: int
    size_bytes: int
    indexes: int
    backfill: Literal["backup", "pitr", "scan", "export"]
    transforms: bool
    writes_per_second: float | None
    ceiling: int | None
    capacity: int | None
    exported: bool = False
    imported: bool = False

    @property
    def crosses_accounts(self) -> bool:
        """Whether source and target belong to two accounts."""
        return self.source.split(":")[4] != self.target.split(":")[4]

    @property
    def crosses_regions(self) -> bool:
        """Whether they are in two regions."""
        return self.source.split(":")[3] != self.target.split(":")[3]

    @property
    def is_loaded(self) -> bool:
        """Whether the backup cannot become the target itself: its items are read one by one."""
        item_by_item = self.backfill in ("scan", "export")
        return item_by_item or self.transforms or self.crosses_accounts or self.target_exists

    @property
    def is_written(self) -> bool:
        """Whether each item is written to the target by a request, which takes write units."""
        return self.is_loaded and not self.imported

    @property
    def is_restored(self) -> bool:
        """Whether a table is restored from a backup, the target or a staging table."""
        return self.backfill in ("backup", "pitr")

    @property
    def is_exported(self) -> bool:
        """Whether an export is asked for."""
        return self.backfill == "export" and not self.exported

    @property
    def gigabytes(self) -> float:
        """Of the source."""
        return self.size_bytes / GB

    @property
    def item_bytes(self) -> float:
        """Of an item of average size."""
        return self.size_bytes / max(1, self.items)

    @property
    def units_of_an_item(self) -> int:
        """Write units of a plain write of an average item to the table alone: 1 KB each."""
        return max(1, math.ceil(self.item_bytes / 1024))

    @property
    def changes_per_second(self) -> float | None:
        """Changes of items, as the source's write units tell; ``None``: not known."""
        return None if self.writes_per_second is None else self.writes_per_second / self.units_of_an_item

    @property
    def units_of_a_change(self) -> int:
        """
        Write units of applying one change: item, indexes and ledger entry, twice each, in a transaction.

        https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html
        """
        return 2 * self.units_of_an_item * (1 + self.indexes) + 2
