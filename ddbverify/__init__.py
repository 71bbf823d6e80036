"""
Do these two DynamoDB tables hold what they should? See ``docs/``.

What a check needs is here. The names load when they are first used, so that the deployed
handlers can import `ddbverify.errors` or `ddbverify.names` without boto3 and the rest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ddbverify.compare.comparison import Comparison
    from ddbverify.errors import CheckFailed, Inconclusive
    from ddbverify.items.states import Difference, State
    from ddbverify.plugins.hookspecs import KnownDifference, hookimpl
    from ddbverify.suite.drift import drift_verdict
    from ddbverify.suite.each_item import each_item
    from ddbverify.suite.inverses import inverse_verdict
    from ddbverify.suite.marks import check
    from ddbverify.suite.pair import Pair
    from ddbverify.suite.verdicts import Finding, Outcome, Verdict, comparison_verdict, only_if, require
    from ddbverify.tables.parity import key_differences

_HOMES = {
    "CheckFailed": "errors",
    "Comparison": "compare.comparison",
    "Difference": "items.states",
    "Finding": "suite.verdicts",
    "Inconclusive": "errors",
    "KnownDifference": "plugins.hookspecs",
    "Outcome": "suite.verdicts",
    "Pair": "suite.pair",
    "State": "items.states",
    "Verdict": "suite.verdicts",
    "check": "suite.marks",
    "comparison_verdict": "suite.verdicts",
    "drift_verdict": "suite.drift",
    "each_item": "suite.each_item",
    "hookimpl": "plugins.hookspecs",
    "inverse_verdict": "suite.inverses",
    "key_differences": "tables.parity",
    "only_if": "suite.verdicts",
    "require": "suite.verdicts",
}

__all__ = [
    "CheckFailed",
    "Comparison",
    "Difference",
    "Finding",
    "Inconclusive",
    "KnownDifference",
    "Outcome",
    "Pair",
    "State",
    "Verdict",
    "check",
    "comparison_verdict",
    "drift_verdict",
    "each_item",
    "hookimpl",
    "inverse_verdict",
    "key_differences",
    "only_if",
    "require",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
