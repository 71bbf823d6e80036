"""Whether the target is set up like the source, as far as a migration under way has to be."""

from __future__ import annotations

from ddbverify import Finding, Pair, Verdict, index_differences, key_differences, require


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
    Each index of the source is in the target, with the same keys and projection, and no other.

    Refuted by: an index that lacks, differs, or is in the target only.
    Silent about: pairs with a transform (their target has a shape of its own), index status.
    Cost: none beside check_the_key_schema_fits.
    """
    if pair.is_reshaped:
        require(Verdict(examined=1))
        return
    source, target = pair.source, pair.target
    findings = tuple(map(Finding, index_differences(source, target)))
    require(Verdict(examined=1 + len(source.indexes), findings=findings))


def check_the_billing_mode_is_the_same(pair: Pair) -> None:
    """
    Both tables are on demand, or both are provisioned.

    Refuted by: one of each. A target that was on demand in tests and provisioned in production
    throttles on the day of the cutover, or the other way round costs a multiple.
    Silent about: the amount of capacity, autoscaling (a restore does not carry it over), and
    pairs with a transform.
    Cost: none beside check_the_key_schema_fits.
    """
    source, target = pair.source.billing_mode, pair.target.billing_mode
    differ = (
        () if pair.is_reshaped or source == target else (f"{source} in the source, {target} in the target",)
    )
    require(Verdict(examined=1, findings=tuple(map(Finding, differ))))


def check_time_to_live_is_off_in_the_target(pair: Pair) -> None:
    """
    The target deletes nothing by itself while it follows the source.

    Deletes by the source's own time to live are replicated; turn the target's on after cutover.

    Refuted by: time to live that is on, or on its way on or off, in the target.
    Silent about: what the source's time to live is, so that you remember to carry it over.
    Cost: none beside check_the_key_schema_fits.
    """
    attribute = pair.target.ttl_attribute
    findings = () if attribute is None else (Finding(f"time to live is on, by the attribute {attribute}"),)
    require(Verdict(examined=1, findings=findings))
