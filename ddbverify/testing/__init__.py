"""
For the test suites of users: the contract of transforms as one test, the laws of an inverse as another,
strategies for items. Needs Hypothesis.

::

    from ddbverify.testing import assert_transform

    def test_my_transform():
        assert_transform("film_transforms:by_release", source_keys={"year": "N", "title": "S"},
                         target_keys={"released": "N", "title": "S"})

Nothing of a verification needs this room. The names load when they are first used.

Begin with `contract`, then `invariants`.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ddbverify.items.limits import MAX_ITEM_BYTES, item_size
    from ddbverify.testing.contract import assert_transform
    from ddbverify.testing.inverse import assert_inverse
    from ddbverify.testing.real_items import RealTable, read_table
    from ddbverify.testing.strategies import items, numbers, texts, values

if importlib.util.find_spec("hypothesis") is None:
    raise ModuleNotFoundError(
        "ddbverify.testing needs Hypothesis, which is not installed.\n"
        "  Try: pip install 'ddbverify[testing]'",
        name="hypothesis",
    )

_HOMES = {
    "MAX_ITEM_BYTES": "items.limits",
    "RealTable": "testing.real_items",
    "assert_inverse": "testing.inverse",
    "assert_transform": "testing.contract",
    "item_size": "items.limits",
    "items": "testing.strategies",
    "numbers": "testing.strategies",
    "read_table": "testing.real_items",
    "texts": "testing.strategies",
    "values": "testing.strategies",
}

__all__ = [
    "MAX_ITEM_BYTES",
    "RealTable",
    "assert_inverse",
    "assert_transform",
    "item_size",
    "items",
    "numbers",
    "read_table",
    "texts",
    "values",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"ddbverify.{home}"), name)
