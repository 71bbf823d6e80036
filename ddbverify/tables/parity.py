"""How two tables differ in the settings that a migration has to carry over, each by its name. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ddbverify.setting_names import is_one_of
from ddbverify.tables.settings import HIDDEN, TableSettings
from ddbverify.tables.table import Table

_INDEX: Final = re.compile(r"index\.(.+?)(?:\.(?:keys|projection|status))?")
_OF_AN_INDEX: Final = re.compile(r"(?:capacity|autoscaling)\.index\.(.+)\.(?:(?:max_|warm_)?(?:read|write))")


@dataclass(frozen=True, slots=True)
class SettingDifference:
    """One setting that is not the same on both sides, in words without values that could be secret."""

    name: str
    what: str
    deferred: bool = False  # as it has to be until the cutover

    def __str__(self) -> str:
        return f"{self.name}: {self.what}"


@dataclass(frozen=True, slots=True)
class Parity:
    """How the settings of a pair compare."""

    examined: tuple[str, ...]  # names
    differences: tuple[SettingDifference, ...]
    unread: tuple[SettingDifference, ...]  # could not be compared; `name` may end in ``*``


def key_differences(source: Table, target: Table, *, reshaped: bool, rekeys: bool) -> Iterator[str]:
    """
    Name each way in which the target's key schema is not what the pair demands.

    Args:
        source: As DynamoDB describes it.
        target: Likewise.
        reshaped: A transform may rename key attributes; their types still go one to one.
        rekeys: The transform makes keys of its own, so nothing is demanded.
    """
    ours, theirs = list(source.key_schema.items()), list(target.key_schema.items())
    if rekeys or ours == theirs:
        return
    if not reshaped or [kind for _, kind in ours] != [kind for _, kind in theirs]:
        yield f"keys are {_keys(source)} in the source, {_keys(target)} in the target"


def compare_settings(
    source: TableSettings, target: TableSettings, *, reshaped: bool, same_place: bool, stream_is_ours: bool
) -> Parity:
    """
    Name every setting that differs.

    Args:
        source: Of the source table.
        target: Of the target table.
        reshaped: A transform stands between the tables, so the target has indexes of its own;
            of those only the state counts.
        same_place: Both are in one region of one account, and can be encrypted with one key.
        stream_is_ours: The source's stream was turned on for the migration, and goes with it.
    """
    ours, theirs = dict(source.values), dict(target.values)
    if stream_is_ours:
        ours.pop("stream", None)
    if not same_place:
        ours.pop("encryption.key", None)
        theirs.pop("encryption.key", None)
    unread = _unread(source, target)
    names = [
        name
        for name in sorted(ours.keys() | theirs.keys())
        if not is_one_of(name, unread) and not (reshaped and _belongs_to_an_index(name))
    ]
    return Parity(
        examined=tuple(names),
        differences=tuple(
            difference
            for name in names
            for difference in [_difference(name, ours, theirs)]
            if difference is not None
        ),
        unread=tuple(SettingDifference(name, f"not read, {why}") for name, why in unread.items()),
    )


def _difference(name: str, ours: dict[str, str], theirs: dict[str, str]) -> SettingDifference | None:
    here, there = ours.get(name), theirs.get(name)
    if name == "ttl":
        return _time_to_live(here, there)
    if name.startswith("index.") and name.endswith(".status"):
        return None if there in (None, "ACTIVE") else SettingDifference(name, f"{there} in the target")
    if here == there or _follows_from_another(name, ours, theirs):
        return None
    if "warm_" in name and int(there or 0) >= int(here or 0):
        return None  # more is no harm
    if is_one_of(name, HIDDEN):
        what = (
            "not in the target" if there is None else "in the target only" if here is None else "not the same"
        )
        return SettingDifference(name, what)
    return SettingDifference(name, f"{here or 'not set'} in the source, {there or 'not set'} in the target")


def _time_to_live(here: str | None, there: str | None) -> SettingDifference | None:
    """The target may delete nothing of itself while it follows: the source's own deletes are replicated."""
    if there is not None:
        return SettingDifference("ttl", f"on in the target, {there}; it has to be off until the cutover")
    if here is not None:
        return SettingDifference("ttl", f"{here} in the source; turn it on after the cutover", deferred=True)
    return None


def _follows_from_another(name: str, ours: dict[str, str], theirs: dict[str, str]) -> bool:
    """Whether a difference is only the consequence of one that has a name of its own."""
    index = _OF_AN_INDEX.fullmatch(name) or _INDEX.fullmatch(name)
    if (
        index is not None
        and name != f"index.{index[1]}"
        and not {f"index.{index[1]}"} <= ours.keys() & theirs.keys()
    ):
        return True
    if "warm_" in name:
        return theirs["billing"] == "provisioned"  # then what is provisioned counts
    if name.startswith(("capacity.", "autoscaling.")) and ours["billing"] != theirs["billing"]:
        return True
    if name.startswith("pitr.") and ("pitr" in ours) != ("pitr" in theirs):
        return True
    if name == "encryption.key" and ours["encryption"] != theirs["encryption"]:
        return True
    # Where both are scaled by themselves, what is provisioned at this moment says nothing.
    scaled = "auto" + name.replace("capacity", "scaling", 1)
    return name.startswith("capacity.") and scaled in ours and scaled in theirs


def _belongs_to_an_index(name: str) -> bool:
    return (name.startswith("index.") and not name.endswith(".status")) or ".index." in name


def _unread(source: TableSettings, target: TableSettings) -> dict[str, str]:
    unread: dict[str, str] = {}
    for settings in (source, target):
        for name, why in settings.unread.items():
            unread[name] = f"{unread[name]}; {why}" if name in unread else why
    return unread


def _keys(table: Table) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in table.key_schema.items())
