"""Which permissions this migration needs, by its settings, and whether they are there."""

from __future__ import annotations

from collections.abc import Iterator

from ddbverify.config import Config
from ddbverify.names import direction_name, table_name
from ddbverify.words import docs_folder
from replicator.aws import pointer
from replicator.commands import taken, target_closing, way_back_possible
from replicator.context.context import Context
from replicator.doctor import policies, simulating
from replicator.doctor.examination import Examined
from replicator.doctor.findings import Finding, not_checked
from replicator.doctor.policies import Names, Needs, Statement
from replicator.stack.settings import role_resources

PAGE = "permissions.md"


def examine(context: Context, examined: Examined) -> Iterator[Finding]:
    """Ask IAM's simulator whether the operator may do what the commands will."""
    name = context.config.name
    if context.emulator:
        yield not_checked("permissions", name, "an emulator has none", "look again on AWS.")
        return
    folder = docs_folder()
    try:
        text = (folder / PAGE).read_text(encoding="utf-8") if folder else ""
        every = list(policies.statements(text))
    except (OSError, ValueError, KeyError) as error:
        yield not_checked(
            "permissions",
            name,
            f"the page that lists them cannot be read: {type(error).__name__}",
            f"install ddbverify with its documentation, which holds {PAGE}.",
        )
        return
    sides: simulating.Sides = {
        "source": (context.source_client("iam"), context.source_identity),
        "target": (context.target_client("iam"), context.target_identity),
    }
    asked = list(_asked(context, examined, every))
    yield from simulating.examine(sides, asked, frozenset(examined.with_policy))


def _asked(
    context: Context, examined: Examined, every: list[Statement]
) -> Iterator[tuple[str, Statement, Names]]:
    needs, over = needs_of(context, examined), names_of(context)
    for one in policies.needed(every, needs):
        yield one.side, one, over
    if needs.way_back:
        back = _turned(context.config, over)
        for one in policies.turned(policies.needed(every, needs)):
            # There the source's side is what is the target's now.
            yield "target" if one.side == "source" else "source", one, back


def needs_of(context: Context, examined: Examined) -> Needs:
    """What of the page a migration with these settings needs."""
    config = context.config
    crosses = context.source_identity.split(":")[4] != context.target_identity.split(":")[4]
    staged = (pair.transform is not None or pair not in examined.made for pair in config.tables)
    return Needs(
        crosses_accounts=crosses,
        stages=(crosses or any(staged)) and config.replicated.backfill in ("backup", "pitr"),
        rekeys=any(pair.rekeys for pair in config.tables),
        backfill=config.replicated.backfill,
        exports=config.replicated.backfill == "export" and any(pair.export is None for pair in config.tables),
        pointer=config.cutover.pointer is not None,
        fences=not config.cutover.fence.startswith("command:"),
        closes_targets=target_closing.is_wanted(context),
        way_back=way_back_possible.wanted(context) and config.cutover.pointer is not None,
        dashboards=config.replicated.dashboard,
        notices=config.notify.topic is not None,
        worker=config.replicated.worker,
        deployed=taken.is_asked_for(context),
        imports=config.replicated.import_from is not None,
    )


def names_of(context: Context) -> Names:
    """What this migration's things are called."""
    config = context.config
    pairs = tuple((table_name(one.source), table_name(one.target), one.id) for one in config.tables)
    # What the parameters are called depends on no ARN.
    targets = dict.fromkeys(config.tables, "arn")
    parameters = pointer.values_of(config.cutover, targets) if config.cutover.pointer else {}
    places = {
        "source": _place(context.source_identity, context.source.meta.region_name),
        "target": _place(context.target_identity, context.target.meta.region_name),
    }
    places_of_exports = [config.replicated.export_to] if config.replicated.export_to else []
    places_of_exports += [pair.export.rpartition("/AWSDynamoDB/")[0] for pair in config.tables if pair.export]
    exports = tuple(dict.fromkeys(one.removeprefix("s3://") for one in places_of_exports))
    topic = config.notify.topic or ""
    imports = (config.replicated.import_from or "").removeprefix("s3://")
    roles = role_resources(config)
    return Names(config.name, pairs, places, tuple(parameters), topic, roles, exports, imports)


def _turned(config: Config, names: Names) -> Names:
    """The names of the way back: another migration, in which source and target have changed places."""
    pairs = tuple(
        (table_name(pair.source), table_name(pair.target), pair.id) for pair in config.turned(1).tables
    )
    places = {"source": names.places["target"], "target": names.places["source"]}
    return Names(
        direction_name(names.migration, 1), pairs, places, names.parameters, roles=role_resources(config)
    )


def _place(identity: str, region: str) -> tuple[str, str, str]:
    _, partition, _, _, account, _ = identity.split(":", 5)
    return partition, account, region
