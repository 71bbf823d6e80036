"""How two tables differ in the settings that a migration has to carry over, each by its name. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from ddbverify.setting_names import Kind, Pattern, Setting, is_one_of
from ddbverify.tables.settings import HIDDEN, TableSettings
from ddbverify.tables.table import Table
from ddbverify.tables.unknown import places_that_differ

_Values = Mapping[Setting, str]
_UNKNOWN = (Kind.UNKNOWN, Kind.INDEX_UNKNOWN)


@dataclass(frozen=True, slots=True)
class SettingDifference:
    """One setting that is not the same on both sides, in words without values that could be secret."""

    setting: Setting | Pattern  # a pattern where many could not be read
    what: str
    deferred: bool = False  # as it has to be until the cutover

    def __str__(self) -> str:
        return f"{self.setting}: {self.what}"


@dataclass(frozen=True, slots=True)
class Parity:
    """How the settings of a pair compare."""

    examined: tuple[Setting, ...]
    differences: tuple[SettingDifference, ...]
    unread: tuple[SettingDifference, ...]  # could not be compared


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
    source: TableSettings,
    target: TableSettings,
    *,
    reshaped: bool,
    same_place: bool,
    stream_is_ours: bool,
    source_follows: bool = False,
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
        source_follows: A cutover has left a way back, so that the target is the application's.
    """
    ours, theirs = dict(source.values), dict(target.values)
    if stream_is_ours:
        ours.pop(Setting.own("stream"), None)
    if not same_place:
        ours.pop(Setting.own("encryption.key"), None)
        theirs.pop(Setting.own("encryption.key"), None)
    unread = _unread(source, target)
    examined = [
        setting
        for setting in sorted(ours.keys() | theirs.keys(), key=str)
        if not is_one_of(setting, unread) and not (reshaped and _is_of_the_shape(setting))
    ]
    differences = (_difference(setting, ours, theirs, source_follows) for setting in examined)
    told = (_with_places(one, source, target) for one in differences if one is not None)
    return Parity(
        examined=tuple(examined),
        differences=tuple(told),
        unread=tuple(SettingDifference(what, f"not read, {why}") for what, why in unread.items()),
    )


def _difference(
    setting: Setting, ours: _Values, theirs: _Values, source_follows: bool
) -> SettingDifference | None:
    here, there = ours.get(setting), theirs.get(setting)
    if setting == Setting.own("ttl"):
        return _time_to_live_behind_a_flip(here, there) if source_follows else _time_to_live(here, there)
    if setting.kind is Kind.INDEX and setting.field == "status":
        return None if there in (None, "ACTIVE") else SettingDifference(setting, f"{there} in the target")
    if here == there or _follows_from_another(setting, ours, theirs):
        return None
    if _is_warmth(setting) and int(there or 0) >= int(here or 0):
        return None  # more is no harm
    if is_one_of(setting, HIDDEN):
        what = (
            "not in the target" if there is None else "in the target only" if here is None else "not the same"
        )
        return SettingDifference(setting, what)
    here, there = here or "not set", there or "not set"
    return SettingDifference(setting, f"{here} in the source, {there} in the target")


def _with_places(
    difference: SettingDifference, source: TableSettings, target: TableSettings
) -> SettingDifference:
    """One that this version does not know says so, and where in it the two differ."""
    setting = difference.setting
    if not isinstance(setting, Setting) or setting.kind not in _UNKNOWN:
        return difference
    here, there = source.documents.get(setting), target.documents.get(setting)
    places = places_that_differ(here, there) if here is not None and there is not None else ()
    where = f" in {', '.join(places)}" if places else ""
    said = "(unknown to this version of ddbverify, which compares it as it stands)"
    return replace(difference, what=f"{difference.what}{where} {said}")


def _time_to_live(here: str | None, there: str | None) -> SettingDifference | None:
    """The target may delete nothing of itself while it follows: the source's own deletes are replicated."""
    ttl = Setting.own("ttl")
    if there is not None:
        return SettingDifference(ttl, f"on in the target, {there}; it has to be off until the cutover")
    if here is not None:
        return SettingDifference(ttl, f"{here} in the source; turn it on after the cutover", deferred=True)
    return None


def _time_to_live_behind_a_flip(here: str | None, there: str | None) -> SettingDifference | None:
    """Likewise of the source, while it follows the target."""
    ttl = Setting.own("ttl")
    if here is not None:
        return SettingDifference(ttl, f"on in the source, {here}; it follows, and has to be off meanwhile")
    if there is not None:
        said = f"{there} in the target; turn it on in the source once it is the application's again"
        return SettingDifference(ttl, said, deferred=True)
    return None


def _follows_from_another(setting: Setting, ours: _Values, theirs: _Values) -> bool:
    """Whether a difference is only the consequence of one that has a name of its own."""
    index = Setting(Kind.INDEX, setting.name)
    if setting.of_index and setting != index and not (index in ours and index in theirs):
        return True

    def differs(field: str) -> bool:
        return ours.get(Setting.own(field)) != theirs.get(Setting.own(field))

    if _is_warmth(setting):
        return theirs[Setting.own("billing")] == "provisioned"  # then what is provisioned counts
    if _is_of_the_load(setting) and differs("billing"):
        return True
    if setting == Setting.own("pitr.days") and differs("pitr"):
        return True
    if setting == Setting.own("encryption.key") and differs("encryption"):
        return True
    # Where both are scaled by themselves, what is provisioned at this moment says nothing.
    scaled = _scaling_of(setting)
    return scaled in ours and scaled in theirs


def _is_of_the_load(setting: Setting) -> bool:
    """Whether it is about capacity or autoscaling, of the table or of an index."""
    if setting.kind is Kind.TABLE:
        return setting.field.startswith(("capacity.", "autoscaling."))
    return setting.kind in (Kind.INDEX_CAPACITY, Kind.INDEX_AUTOSCALING)


def _is_warmth(setting: Setting) -> bool:
    return _is_of_the_load(setting) and setting.field.removeprefix("capacity.").startswith("warm_")


def _scaling_of(setting: Setting) -> Setting | None:
    """What scales the capacity that *setting* is."""
    if setting.kind is Kind.INDEX_CAPACITY:
        return Setting(Kind.INDEX_AUTOSCALING, setting.name, setting.field)
    if setting.kind is Kind.TABLE and setting.field.startswith("capacity."):
        return Setting.own(setting.field.replace("capacity.", "autoscaling.", 1))
    return None


def _is_of_the_shape(setting: Setting) -> bool:
    """Whether a target with a shape of its own has it of its own: an index, but for its state."""
    return setting.of_index and (setting.kind, setting.field) != (Kind.INDEX, "status")


def _unread(source: TableSettings, target: TableSettings) -> dict[Pattern, str]:
    unread: dict[Pattern, str] = {}
    for settings in (source, target):
        for what, why in settings.unread.items():
            unread[what] = f"{unread[what]}; {why}" if what in unread else why
    return unread


def _keys(table: Table) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in table.key_schema.items())
