"""
What a plugin can implement: the hooks of ``ddbverify``, in the order in which a migration meets them.

An implementation is a function of the hook's name, in a module that an entry point of the group
``ddbverify`` names, or in ``checks/conftest.py``. It takes those of the hook's arguments that it
wants. ``docs/plugins.md`` says when each hook is called, and what becomes of one that raises.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import pluggy

from ddbverify.items.states import Difference

PROJECT: Final = "ddbverify"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True, slots=True)
class KnownDifference:
    """
    A difference that somebody has looked at and accepts, until a day.

    Args:
        reason: Why, in a line that may be read by others: no values, no keys.
        expires: The last day on which it is accepted, in UTC. After it the difference counts again.
    """

    reason: str
    expires: date


@hookspec
def ddbverify_check_files() -> Iterable[Path]:
    """
    Bring files ``check_*.py`` that run beside the user's own.

    Called once, before anything is collected.

    Returns:
        Existing files. Their checks are recorded, and required by the gate, as
        ``PLUGIN:FILE::FUNCTION``.
    """
    raise NotImplementedError  # a specification is never called


@hookspec
def ddbverify_normalise_item(table_name: str, item: dict[str, Any]) -> dict[str, Any] | None:
    """
    Give the form of an item in which it is to be compared.

    Asked for both sides of a key whose items differ (never of equal ones), twice for each, and
    believed only if it answers the same twice. With several plugins each gets what the one before
    has made. A key that is equal in this form only is counted in the evidence, for the plugin.

    Args:
        table_name: Source table of the pair, without account or region.
        item: A copy, in Python's own values (Decimal, bytes, set, ...): what the target holds, or
            should hold.

    Returns:
        The item to compare, with its key attributes as they were. ``None``: as it is.
    """
    raise NotImplementedError


@hookspec
def ddbverify_compare_values(table_name: str, path: str, expected: Any, target: Any) -> bool | None:
    """
    Say whether two values that differ are to count as equal.

    Asked of what is still different after normalising, attribute by attribute; for a map or a list
    that nobody has an opinion about, of what is in it. One ``False`` of any plugin outweighs every
    ``True``. Not asked of an attribute that is on one side only.

    Args:
        table_name: Source table of the pair, without account or region.
        path: Such as ``"total"``, ``"address.city"`` or ``"lines[0].price"``.
        expected: What the target should hold, in Python's own values.
        target: What it holds.

    Returns:
        ``None``: no opinion, and without any the values are different.
    """
    raise NotImplementedError


@hookspec
def ddbverify_known_difference(table_name: str, difference: Difference) -> KnownDifference | None:
    """
    Accept a difference that is known, for a reason and until a day.

    Asked once for each key that has settled as missing, extraneous or different; the first plugin
    that accepts it wins. Such a key is counted and listed as ``known``, never as matched.

    Args:
        table_name: Source table of the pair, without account or region.
        difference: Its state, its raw key in DynamoDB's typed form, the paths that differ.

    Returns:
        ``None``: it counts. So does one whose day has passed.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def ddbverify_pipeline_passed(table_name: str, moved_at: float) -> bool | None:
    """
    Say whether the pipeline into *table_name*'s target has passed a moment.

    Asked before a difference is called persistent: a source item that moved
    at *moved_at* may still be under way. The first plugin that answers wins.

    Args:
        table_name: Source table, without account or region.
        moved_at: Seconds since the epoch, the server's clock.

    Returns:
        ``None`` passes the question on; when nobody answers, the settle time
        decides, and the report says so.
    """
    raise NotImplementedError


@hookspec
def ddbverify_report(evidence: Mapping[str, Any], folder: Path) -> None:
    """
    Pass the outcome of a run on, to wherever a team looks.

    Called by ``ddbverify run`` once the evidence has been signed and written; nothing that a
    reporter does can change it.

    Args:
        evidence: The document as it was signed (``payload`` of ``evidence.json``), a copy. No
            values, no keys.
        folder: The run's own folder. ``findings.jsonl`` in it holds raw keys.
    """
    raise NotImplementedError


@hookspec
def ddbverify_gate_veto(evidence: Mapping[str, Any], folder: Path) -> str | None:
    """
    Keep the gate closed, for a reason of one's own.

    Asked by ``ddbverify gate``, and by ``replicator cutover`` before the fence and under it, of every
    plugin, whatever else keeps the gate closed. It can close the gate and never open it.

    Args:
        evidence: As for `ddbverify_report`.
        folder: Likewise.

    Returns:
        Why the gate has to stay closed, in a line without values; ``None``: no objection.
    """
    raise NotImplementedError
