"""
Do these two DynamoDB tables hold what they should? See ``docs/``.

What a check needs is here. The names load when they are first used, so that the deployed
handlers can import `ddbverify.errors` or `ddbverify.names` without boto3 and the rest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ddbverify.checks import Pair, each_item
    from ddbverify.comparison import Comparison, Difference, State
    from ddbverify.drift import drift_verdict
    from ddbverify.errors import CheckFailed, Inconclusive
    from ddbverify.hookspecs import KnownDifference, hookimpl
    from ddbverify.marks import check
    from ddbverify.parity import key_differences
    from ddbverify.verdicts import Finding, Outcome, Verdict, comparison_verdict, require

_HOMES = {
    "CheckFailed": "errors",
    "Comparison": "comparison",
    "Difference": "comparison",
    "Finding": "verdicts",
    "Inconclusive": "errors",
    "KnownDifference": "hookspecs",
    "Outcome": "verdicts",
    "Pair": "checks",
    "State": "comparison",
    "Verdict": "verdicts",
    "check": "marks",
    "comparison_verdict": "verdicts",
    "drift_verdict": "drift",
    "each_item": "checks",
    "hookimpl": "hookspecs",
    "key_differences": "parity",
    "require": "verdicts",
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
    "key_differences",
    "require",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
