"""What one task stages of its segment: items that have met no partner there, by the digests of their keys."""

from __future__ import annotations

import tempfile
import uuid
from types import TracebackType
from typing import Final

from ddbverify.compare.entries import Left
from ddbverify.compare.sides import Role
from ddbverify.errors import EngineError
from ddbverify.items.quick import QuickState
from ddbverify.spark.live_receipts import Staged
from ddbverify.spark.rows import Kind, Packer, bucket_of, item_bytes
from ddbverify.spark.staging import Staging, framed

BUCKETS: Final = 4_096
"""Items of one bucket are joined in one task."""


class Stager:
    """The file of one task, written where it runs, and put to its place once the segment has been read."""

    def __init__(self, staging: Staging, quick: QuickState, segment: int) -> None:
        """Stage for *segment*; *quick* digests keys."""
        self._staging, self._quick = staging, quick
        # Of this attempt alone: what another one has written is nobody's.
        self._name = f"segment-{segment}-{uuid.uuid4().hex}"
        self._file = tempfile.TemporaryFile(prefix="ddbverify-")  # noqa: SIM115 - closed by `__exit__`
        self._packer = Packer(Kind.ITEMS)
        self._items = dict.fromkeys(Role, 0)

    def __enter__(self) -> Stager:
        """Nothing yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the local disk back."""
        self._file.close()

    def take(self, left: Left) -> Left:
        """Stage the items that wait. Returns what is left without them. Raises EngineError."""
        try:
            for role, key, (raw, _, _) in left.waiting:
                self._items[role] += 1
                bucket = bucket_of(self._quick.of_key(key), BUCKETS)
                if self._packer.add(bucket, item_bytes(raw, of_source=role is Role.SOURCE)):
                    for row in self._packer.due():
                        self._file.write(framed(row.bucket, row.content))
        except OSError as error:
            raise _no_room(error) from error
        return Left(suspects=left.suspects, pairs=left.pairs, refused=left.refused)

    def put(self) -> Staged:
        """Put the file to its place, unless it is empty. Raises EngineError."""
        items = (self._items[Role.SOURCE], self._items[Role.TARGET])
        if not any(items):
            return Staged()
        try:
            for row in self._packer.rest():
                self._file.write(framed(row.bucket, row.content))
            self._file.seek(0)
        except OSError as error:
            raise _no_room(error) from error
        self._staging.put(self._name, self._file)
        return Staged(name=self._name, items=items, rows=self._packer.sum.rows, sum=self._packer.sum.value)


def _no_room(error: OSError) -> EngineError:
    return EngineError(
        f"A task has no room for what it has to stage: {error.strerror}.",
        "give the executors more disk, or read more --segments.",
    )
