"""What a flip asks of AWS for the first time behind its fence, where a refusal costs refused writes."""

from __future__ import annotations

from typing import Any

import botocore.client
import pytest

from replicator.commands import cutover_fence, way_back

_NAMES = ("TableName", "ResourceArn", "StreamArn", "QueueUrl", "UUID", "Name", "StackName")


class BehindTheFence:
    """
    Watches the calls of this process, flip by flip.

    Attributes:
        first: Service, operation, region and resource of each call between the putting of the fence and the
            note of the flip of which there was none before it; of the last flip.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.first: list[tuple[str, ...]] = []
        self._before: set[tuple[str, ...]] = set()
        self._is_behind = False
        call, put, moved = (
            botocore.client.BaseClient._make_api_call,
            cutover_fence.put,
            way_back.note_moved,
        )

        def watched(client: Any, operation: str, arguments: Any) -> Any:
            made = _named(client, operation, arguments)
            if not self._is_behind:
                self._before.add(made)
            elif made not in self._before and made not in self.first:
                self.first.append(made)
            return call(client, operation, arguments)

        def putting(*arguments: Any) -> Any:
            self.first, self._is_behind = [], True
            return put(*arguments)

        def noting(*arguments: Any) -> Any:
            self._before, self._is_behind = set(), False
            return moved(*arguments)

        patch.setattr(botocore.client.BaseClient, "_make_api_call", watched)
        patch.setattr(cutover_fence, "put", putting)
        patch.setattr(way_back, "note_moved", noting)


def _named(client: Any, operation: str, arguments: Any) -> tuple[str, ...]:
    resource = next((str(arguments[name]) for name in _NAMES if name in arguments), "")
    # All of one statement: each direction has a state table, and changes other items of it.
    if resource.endswith("-state"):
        return ("dynamodb", "state table")
    return (client.meta.service_model.service_name, operation, client.meta.region_name, resource)
