"""The plugin that comes with us: it knows the pipelines of our own replicator."""

from __future__ import annotations

from ddbverify.config import Config
from ddbverify.names import table_name
from ddbverify.pipeline.health import Passed
from ddbverify.plugins.hookspecs import hookimpl


class Replicator:
    """Answers `ddbverify_pipeline_passed` for the pipelines of our own replicator; a plugin like others."""

    def __init__(self, config: Config) -> None:
        """Look at the pipelines of *config*, once somebody asks."""
        self._pairs: dict[str, list[Passed]] = {}
        for pair in config.tables:
            self._pairs.setdefault(table_name(pair.source), []).append(Passed.of(config, pair))

    @hookimpl
    def ddbverify_pipeline_passed(self, table_name: str, moved_at: float) -> bool | None:
        """``None`` where the table has no pipeline; of several out of one table, the last one counts."""
        answers = {passed(moved_at) for passed in self._pairs.get(table_name, ())}
        return False if False in answers else None if None in answers else bool(answers) or None
