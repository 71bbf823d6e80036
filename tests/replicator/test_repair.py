"""A repair writes what the migration writes, or nothing."""

from __future__ import annotations

import pytest

from ddbverify.config import Pair
from ddbverify.errors import Refused
from ddbverify.transform import package_digest
from replicator.repair import _check_transform


@pytest.fixture
def pair(tmp_path, monkeypatch):
    (tmp_path / "repair_shapes.py").write_text("def made(item):\n    return item\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return Pair(source="orders", target="orders-v2", transform="repair_shapes:made")


def test_the_transform_of_the_beginning_is_taken(pair):
    _check_transform(pair, {"transform": pair.transform, "digest": package_digest(pair.transform)})
    _check_transform(Pair(source="orders", target="orders-v2"), {"transform": "", "digest": ""})


@pytest.mark.parametrize(
    "change", [{"digest": "0" * 64}, {"transform": "repair_shapes:other"}, {"transform": ""}]
)
def test_another_transform_is_refused(pair, change):
    bound = {"transform": pair.transform, "digest": package_digest(pair.transform), **change}
    with pytest.raises(Refused, match="has changed since the migration began"):
        _check_transform(pair, bound)
