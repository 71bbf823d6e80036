"""Everything that can be found wrong before anything is created."""

from __future__ import annotations

from collections.abc import Sequence

from ddbverify.code import purity
from ddbverify.code.digest import transform_digest
from ddbverify.config import Pair
from ddbverify.errors import ConfigurationError
from ddbverify.items.inverse import Inverse
from ddbverify.items.transform import Transform
from ddbverify.items.values import with_base64
from ddbverify.names import Fact, KeySchema, TypedItem, is_ours, stack_name, state_table, table_name
from ddbverify.setting_names import Kind, Setting, is_one_of, pattern
from ddbverify.tables import indexes
from ddbverify.tables.aws import translated
from ddbverify.tables.references import arn_at
from ddbverify.words import number_of
from replicator.backfill import boundary, exports, imports
from replicator.backfill.ownership import is_being_filled
from replicator.backfill.plan import Plan
from replicator.context import references, tables
from replicator.context.context import Context
from replicator.context.tables import TableFacts

_SAMPLE = 25

LEAST_OVERLAP_SECONDS = 60.0
"""A backup may hold, or miss, what was written up to 60 s around it (docs/aws.md T1)."""


def check(context: Context) -> list[Plan]:
    """
    Look at the settings, the identities and the tables of every pair; change nothing.

    Raises:
        ConfigurationError: With the table and key to change.
        AccessError: No credentials, or a permission is missing.
    """
    need_settings(context)
    begun = context.begun()
    return [plan_of(context, pair, begun=begun) for pair in context.config.tables]


def need_settings(context: Context) -> None:
    """
    Refuse settings of ``[replication]`` that do not do, whatever the tables are.

    Raises:
        ConfigurationError: With the key to change.
    """
    replication = context.config.replicated
    if replication.overlap < LEAST_OVERLAP_SECONDS and not context.emulator:
        raise ConfigurationError(
            f"[replication] overlap of {replication.overlap:.0f} s is too short: "
            "a backup is exact to a minute only.",
            'use at least "60s"; the default of "5m" leaves a margin.',
        )
    exports.need_settings(context.config)
    imports.need_settings(context.config)
    topic, region = replication.alarm_topic, context.source.meta.region_name
    references.require_alarm_topic(topic, context.source_identity, region)


def plan_of(context: Context, pair: Pair, *, begun: bool) -> Plan:
    """
    Look at the tables of one pair, and at its transform on a small sample; change nothing.

    Args:
        begun: Whether there is a state table: then the target may be one that this migration is filling.

    Raises:
        ConfigurationError: With the table and key to change.
        EngineError: AWS refused to say.
    """
    source = context.source_table(pair)
    target = context.target_table(pair)
    target_arn = target.arn if target else _arn_to_be(context, pair)
    if target_arn == source.arn:
        raise ConfigurationError(
            f"[[tables]] source and target are the same table, {source.name}.",
            "give the target another name, region or account.",
        )
    _check_names(context, pair)
    how = context.config.replicated.backfill
    needs_past = how == "pitr" or (how == "export" and pair.export is None)
    if needs_past and boundary.restorable(context, source) is None:
        raise boundary.need_recovery(source, how)
    # Once the target is filled the export may be gone.
    if how == "export" and not (begun and context.state(pair).get(Fact.STEP + "backfill")):
        boundary.foresee_export(context, pair, source, begun=begun)
        if context.config.replicated.import_from and target is None:
            imports.need_bucket(context)
    target_keys = target.keys if target else source.keys
    _check_keys(pair, source.keys, target_keys)
    if target is not None and pair.transform is None:
        _check_indexes(pair, source, target)
    ours = target is not None and begun and is_being_filled(context, pair, target)
    if target is not None and not ours and not tables.is_empty(context.target, target.name):
        raise ConfigurationError(
            f"[[tables]] target = {pair.target!r} exists and is not empty.",
            "name a table that does not exist yet (it is made), or an empty one.",
        )
    transform = context.transform(pair, source.keys, target_keys)
    sampled: list[TypedItem] = []
    if pair.transform or (target is not None and indexes.types_of(target.description).keys() - source.keys):
        sampled = sample(context, source)
    made = _made_of(context, sampled, source, transform, target_exists=target is not None)
    if pair.inverse is not None:
        check_inverse(context, Inverse.load(pair.inverse, source.keys, target_keys), transform, sampled)
    if target is not None:
        _check_types(pair, made, target)
    return Plan(
        pair=pair,
        source=source,
        target=target,
        target_arn=target_arn,
        target_account=_account_in_reach(source, target_arn),
        transform=transform,
        digest=transform_digest(context.config, pair),
    )


def _arn_to_be(context: Context, pair: Pair) -> str:
    """The ARN of a target that is yet to be made: of the target's own partition and account."""
    resource = f"table/{table_name(pair.target)}"
    region = context.target.meta.region_name
    return arn_at(context.target_identity, service="dynamodb", region=region, resource=resource)


def _account_in_reach(source: TableFacts, target_arn: str) -> str:
    """
    The target's account.

    Raises:
        ConfigurationError: It is in another partition: no role there can be assumed from the source's.
    """
    *_, partition, _, _, account, _ = target_arn.split(":", 5)
    ours = source.arn.split(":", 2)[1]
    if partition != ours:
        raise ConfigurationError(
            f"[[tables]]: the source is in the partition {ours}, the target in {partition}.",
            "a migration stays within one partition: no role of one can be assumed from the other.",
        )
    return account


def _check_names(context: Context, pair: Pair) -> None:
    """Names made from the migration's and the pair's have to fit the services' limits."""
    longest = stack_name(context.config.name, "capture", pair.id)
    if len(longest) > 128 or len(state_table(context.config.name)) > 255:
        raise ConfigurationError(
            f"name = {context.config.name!r} makes names of stacks or tables that are too long for AWS.",
            "use a shorter `name` in migration.toml.",
        )


def _check_keys(pair: Pair, source: KeySchema, target: KeySchema) -> None:
    place = f"[[tables]] target = {pair.target!r}"
    if pair.transform is None and dict(source) != dict(target):
        raise ConfigurationError(
            f"{place} has the key {_words(target)}, but the source has {_words(source)}.",
            "give the target the source's key, or name a `transform` that makes its items.",
        )
    if pair.transform and not pair.rekeys and list(source.values()) != list(target.values()):
        raise ConfigurationError(
            f"{place} has the key {_words(target)}; the source's {_words(source)} cannot become that.",
            "keep number, order and types of the key attributes, or set `rekeys = true` for the pair.",
        )


def _check_indexes(pair: Pair, source: TableFacts, target: TableFacts) -> None:
    """A target whose index wants another type refuses the source's items, the application's own included."""
    place = f"[[tables]] target = {pair.target!r}"
    for what in indexes.other_types(source.description, target.description):
        raise ConfigurationError(
            f"{place} has a key attribute of another type: {what}. DynamoDB refuses items whose "
            "index attributes have another type than the table says.",
            "make the target's index anew with the source's type, or name another target.",
        )
    accepted = tuple(map(pattern, pair.accept))
    for name, what in indexes.other_keys(source.description, target.description):
        setting = Setting(Kind.INDEX, name, "keys")
        if not is_one_of(setting, accepted):
            raise ConfigurationError(
                f"{place} has an index {name} with another key: {what}.",
                "make that index anew with the source's key, or say that it may differ: "
                f"accept = ['{setting}'].",
            )


def sample(context: Context, source: TableFacts) -> list[TypedItem]:
    """A few items of a source; none of the replicator's own."""
    with translated(f"read a few items of {source.name}"):
        found = context.source.scan(TableName=source.name, Limit=_SAMPLE)["Items"]
    items = map(with_base64, found)
    return [one for one in items if not is_ours({name: one[name] for name in source.keys}, source.keys)]


def _check_types(pair: Pair, made: Sequence[TypedItem], target: TableFacts) -> None:
    """Where each item of a small sample has another type than an index wants, no item could be written."""
    for name, wanted in indexes.types_of(target.description).items():
        found = {kind for item in made for kind in item.get(name, {})}
        if found and wanted not in found:
            raise ConfigurationError(
                f"[[tables]] target = {pair.target!r} has an index whose key {name} is of the type {wanted}, "
                f"and the items for it have {' and '.join(sorted(found))} there: DynamoDB refuses them.",
                "make that index anew with the type that the items have, or name another target.",
            )


def check_inverse(
    context: Context, inverse: Inverse, transform: Transform, items: Sequence[TypedItem]
) -> None:
    """An inverse that breaks a law on an item of a small sample is refused before anything is made."""
    tried = purity.tried_inverse(context.config, transform, inverse, items)
    if tried.unbound:
        raise _reads_what_is_not_bound("inverse", inverse.name, tried.unbound)
    what = str(tried.broken) if tried.broken else ""
    if tried.impure:
        what = f"it gave another result for one of them {tried.impure}"
    if what:
        raise ConfigurationError(
            f"The inverse {inverse.name} is none of {transform.name}, on {len(items)} sampled items: {what}.",
            "mend it, and try it with assert_inverse of ddbverify.testing; without `inverse` this migration "
            "has no way back after its cutover.",
        )
    kept = number_of(tried.examined, "item")
    context.console.line(f"  inverse {inverse.name}: both laws hold of {kept} of a small sample")


def _reads_what_is_not_bound(what: str, name: str, files: Sequence[str]) -> ConfigurationError:
    listed = ", ".join(f'"{file}"' for file in files)
    return ConfigurationError(
        f"The {what} {name} reads {listed}: its digest is not over that, and the bundle would not hold it.",
        f"write transform_files = [{listed}] into the pair's [[tables]].",
    )


def _made_of(
    context: Context,
    items: Sequence[TypedItem],
    source: TableFacts,
    transform: Transform,
    *,
    target_exists: bool,
) -> Sequence[TypedItem]:
    """
    What a small sample becomes in the target.

    The function is called twice, and once more in a second process: a result that depends on anything but the
    item makes its key uncomparable later. What fails on every item of the sample fails on the table.
    """
    if transform.function is None:
        return items
    tried = purity.tried(context.config, transform, items)
    if tried.unbound:
        raise _reads_what_is_not_bound("transform", transform.name, tried.unbound)
    if tried.impure:
        raise ConfigurationError(
            f"The transform {transform.name} gave two results for one of {len(items)} sampled items, "
            f"{tried.impure}.",
            "make the result depend on the item alone: no clock, no chance, nothing kept between calls.",
        )
    failures = tried.failures
    if failures and len(failures) == len(items):
        hint = failures[0].hint
        if not target_exists:
            hint = (
                "create the target table with the key that the transform makes and leave it empty: "
                f"without one it gets the source's key, {_words(source.keys)}. Or {hint}"
            )
        raise ConfigurationError(
            f"{failures[0].message} It did so for each of {len(items)} sampled items.", hint
        )
    return tried.made


def _words(schema: KeySchema) -> str:
    return " + ".join(f"{name} ({kind})" for name, kind in schema.items())
