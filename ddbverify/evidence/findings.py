"""
Every difference of a run, one JSON object per line, in a file for its owner's eyes only.

Raw keys are written down here, and in ``repair.json`` beside it (docs/promises.md 10); values never are.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from ddbverify.compare.inspection import Refutation
from ddbverify.errors import ConfigurationError
from ddbverify.evidence.repairs import PairOf, RepairFile
from ddbverify.items.states import Difference
from ddbverify.suite.pair import Pair


class FindingsFile:
    """
    Writes differences as they are decided; what was written survives a kill of the process.

    ::

        {"pair": "orders-1a2b3c4d", "key_hash": "5ba3...", "finding": "different",
         "key": {"id": {"S": "7"}}, "paths": ["price: N -> S"], "reason": ""}
    """

    def __init__(self, path: Path, *, repairable: bool = False) -> None:
        """
        Start a new file.

        Args:
            path: The file.
            repairable: Leave ``repair.json`` beside it, too, once `finish` is called.

        Raises:
            ConfigurationError: It exists already, or cannot be made.
        """
        self.path = path
        self._repair: RepairFile | None = None
        try:
            if repairable:
                self._repair = RepairFile(path.parent)
            # The mode stands in the call: a file that is narrowed afterwards was wide for a moment.
            opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise ConfigurationError(
                f"The findings file {path} cannot be made: {error.strerror}.",
                "name a folder with --out that can be written to and holds no earlier run.",
            ) from error
        self._file: TextIO = os.fdopen(opened, "w", encoding="ascii")

    def write(self, pair_id: str, difference: Difference, *, key_hash: str = "") -> None:
        """
        Append one difference, and hand it to the operating system before returning.

        Args:
            pair_id: The pair it belongs to.
            difference: What was found.
            key_hash: What stands for the key in the run's messages, so that one can be looked up.
        """
        if self._repair is not None:
            self._repair.add(pair_id, difference)
        self._append(
            pair=pair_id,
            key_hash=key_hash,
            finding=str(difference.state),
            key=difference.key,
            paths=list(difference.paths),
            reason=difference.reason,
            **({"established": "by cause"} if difference.by_cause else {}),
        )

    def write_refutation(self, pair_id: str, refutation: Refutation, *, key_hash: str) -> None:
        """Append one item that a check failed on; *finding* is ``refuted``, *check* names it."""
        self._append(
            pair=pair_id,
            key_hash=key_hash,
            finding="refuted",
            key=refutation.key,
            paths=[],
            reason=refutation.where,
            check=refutation.check,
        )

    def _append(self, **line: Any) -> None:
        self._file.write(json.dumps(line, ensure_ascii=True) + "\n")
        self._file.flush()

    @property
    def secret(self) -> bytes:
        """Key of the digests that ``repair.json`` takes; of nobody else where there is none."""
        return secrets.token_bytes(32) if self._repair is None else self._repair.secret

    def finish(self, compared: Iterable[tuple[Pair, object]], unwritable: Callable[[OSError], None]) -> None:
        """Close the file, and leave ``repair.json`` on the pairs that were compared; told if it cannot be."""
        if self._repair is not None:
            tables = [PairOf.of(one.config, one.settings, one.source, one.target) for one, _ in compared]
            try:
                self._repair.finish(tables)
            except OSError as error:
                unwritable(error)
        self.close()

    def close(self) -> None:
        """Close the file; closing twice is allowed."""
        if self._repair is not None:
            self._repair.discard()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
