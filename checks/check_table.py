"""Whether the target is set up like the source, as far as a migration under way has to be."""

from __future__ import annotations

from ddbverify import Finding, Pair, Verdict, key_differences, require


def check_the_key_schema_fits(pair: Pair) -> None:
    """
    The target's key attributes are the source's; with a transform, their types go one to one.

    Refuted by: another name (without a transform), another type, another number of keys.
    Silent about: pairs with `rekeys = true`, whose keys the transform makes up.
    Cost: DescribeTable and DescribeTimeToLive, once per table and run.
    """
    differences = key_differences(
        pair.source,
        pair.target,
        reshaped=pair.is_reshaped,
        rekeys=pair.settings.rekeys,
    )
    require(Verdict(examined=1, findings=tuple(map(Finding, differences))))


def check_the_indexes_are_the_same(pair: Pair) -> None:
    """
    Each index of the source is in the target, with the same keys and projection; all are active.

    Refuted by: an index that lacks, differs, is in the target only, or is still being filled.
    Silent about: pairs with a transform, but for the state: their target has a shape of its own.
    Cost: none beside check_the_key_schema_fits.
    """
    require(pair.parity("index.*"))


def check_the_capacity_is_the_same(pair: Pair) -> None:
    """
    The target can take the source's load: billing mode, capacity and its ceilings, autoscaling, table class.

    Refuted by: another setting; a target that is warm for less than the source is.
    Silent about: what is provisioned at this moment where both tables scale by themselves; scheduled
    scaling; how fast the source really is used.
    Cost: two calls to Application Auto Scaling for each provisioned table, and one for each of its indexes.
    """
    require(pair.parity("billing", "capacity.*", "autoscaling.*", "table_class"))


def check_the_settings_are_the_same(pair: Pair) -> None:
    """
    What protects and feeds the source is set up for the target, too: recovery, streams, tags, policies.

    Settings that this version does not know are compared as they stand.

    Refuted by: any that is set on one side only, or otherwise, by its name.
    Silent about: the source's stream if the migration turned it on; keys of encryption in another region
    or account; alarms, IAM policies and backup plans, which are not settings of a table.
    Cost: five calls to DynamoDB for each table.
    """
    require(
        pair.parity(
            *("pitr", "pitr.days", "deletion_protection", "encryption", "encryption.key", "policy"),
            *("stream", "kinesis", "replicas", "contributor_insights", "tags.*", "unknown.*"),
        )
    )


def check_time_to_live_is_off_in_the_target(pair: Pair) -> None:
    """
    The table that follows deletes nothing by itself: the target; behind a flip with a way back, the source.

    Deletes by the other table's own time to live are replicated; turn it on where the application has moved.

    Refuted by: time to live that is on, or on its way on or off, in the table that follows.
    Silent about: that of the other one; that it has to be carried over stands in the summary.
    Cost: none beside check_the_key_schema_fits; where it is on in either table, what
    check_the_pipeline_is_healthy reads.
    """
    require(pair.parity("ttl"))
