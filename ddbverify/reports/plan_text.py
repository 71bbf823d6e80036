"""An `Estimate` for people to read. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tabulate import tabulate

from ddbverify.reports.plan import Estimate, SideEstimate
from ddbverify.words import about, duration_in_words, money, number_of, size_in_words, were

_INVERSE = "a run holds it to its laws on up to 1,000 items of the source: 50 pages at most"


def text(made: Estimate) -> str:
    """An estimate for people."""
    sides = (made.source, made.target)
    rows = [
        ("table", *(side.table.name for side in sides)),
        ("region", *(side.table.region for side in sides)),
        ("items", *(f"{side.table.item_count:,}" for side in sides)),
        ("size", *(size_in_words(side.table.size_bytes) for side in sides)),
        ("read units", *(f"{side.read_units:,}" for side in sides)),
        ("money", *(_money_of(side) for side in sides)),
        ("share of capacity", *(_share_of(side) for side in sides)),
        ("time", *(_time_of(side) for side in sides)),
    ]
    table = tabulate(rows, ("", "source", "target"), disable_numparse=True)
    planned, total = len(made.segments.segments), made.segments.total
    read = f"{planned:,} of {number_of(total, 'segment')}" if planned < total else number_of(total, "segment")
    settling = f", and {duration_in_words(made.settle_seconds)} of settling if anything differs"
    order = "both tables are read side by side"
    if made.is_rekeyed:
        order = "the whole target is read, then the source"
    lines = [
        table,
        "",
        f"read units  {made.read_units:,}, strongly consistent, in {read}",
        *_settling(made),
        f"money       {about(money(made.money))}: ${made.price_per_million:g} per million read units"
        f" ({made.price_source})",
        f"time        {about(duration_in_words(made.seconds))}, bound by {made.bound_by}: {order}"
        + (settling if made.settle_seconds else ""),
        f"processor   {_cpu(made)}",
        f"cutover     {_cutover(made)}",
        *([f"inverse     {made.inverse}; {_INVERSE}"] if made.inverse else []),
        "",
        f"{_read(made)} Items and sizes are DynamoDB's own figures, up to six hours old.",
    ]
    lines += [f"\nwarning: {warning}" for warning in made.warnings]
    lines += [f"\nimpossible: {reason}" for reason in made.refused]
    return "\n".join(lines)


def together(made: Sequence[Estimate]) -> str:
    """What the pairs of one migration come to, which are verified one after another."""
    last = [one.last_verification for one in made]
    seconds, available = sum(one.seconds for one in last), min(one.available_seconds for one in last)
    took = about(duration_in_words(seconds))
    fits = "fits" if seconds <= available else "does NOT fit"
    return (
        f"A last verification that reads the whole tables takes one pair after another: {took}, which {fits} "
        f"into the {duration_in_words(available)} that `fence_limit` leaves it."
    )


def _settling(made: Estimate) -> Iterator[str]:
    """How much more it is if anything differs."""
    settling = made.settling
    least, most = settling.units_per_key
    each = f"{least}" if least == most else f"{least} to {most}"
    yield f"settling    {each} read units more for each key that differs; nobody knows how many do. The lower"
    yield "            figures hold if all differ in one way (a sample is settled), the upper ones if each"
    yield "            differs in a way of its own:"
    for share, keys in settling.scenarios():
        if not keys:
            yield f"            {share:4.0%} differ: nothing"
            continue
        units = " to ".join(f"{one:,}" for one in dict.fromkeys(settling.of(keys)))
        prices = " to ".join(
            dict.fromkeys(money(one * made.price_per_million / 1e6) for one in settling.of(keys))
        )
        times = " to ".join(dict.fromkeys(duration_in_words(one) for one in settling.seconds(keys)))
        yield f"            {share:4.0%} differ: {units} read units ({prices} on demand), {times} more"
    if made.settle_seconds:
        ceiling = duration_in_words(settling.ceiling_seconds)
        yield f"            a key that never holds still is looked at up to ten times a second for {ceiling}"


def _cpu(made: Estimate) -> str:
    took = about(duration_in_words(made.cpu_seconds))
    spread = f" ({made.processes} processes)" if made.processes > 1 else ""
    if not made.cpu.sampled_items:
        return f"{took} of one core{spread}, as for items that are equal"
    each = made.cpu.seconds_per_source_item * 1e6
    items = number_of(made.cpu.sampled_items, "item")
    return (
        f"{took} of one core{spread}; transform and checks take {each:,.0f} µs an item, measured on {items}"
    )


def _cutover(made: Estimate) -> str:
    last = made.last_verification
    left = f"the {duration_in_words(last.available_seconds)} that `fence_limit` leaves it"
    if made.fits_up_to_items is None:
        return f"the last verification has {left}"
    fits = "fits" if last.fits else "does NOT fit"
    limit = f"up to {number_of(made.fits_up_to_items, 'item')} of this kind would"
    return f"a last verification that reads the whole tables {fits} into {left}; {limit}"


def _read(made: Estimate) -> str:
    if not made.cpu.sampled_items:
        return "No item was read."
    items, units = (
        number_of(made.cpu.sampled_items, "item"),
        number_of(round(made.cpu.read_units), "read unit"),
    )
    return f"{items} of the source {were(made.cpu.sampled_items)} measured, which cost {units}."


def _money_of(side: SideEstimate) -> str:
    return "none: provisioned" if side.money is None else about(money(side.money))


def _share_of(side: SideEstimate) -> str:
    if side.share_of_capacity is None or side.capacity is None:
        return "(on demand)"
    return f"{side.share_of_capacity:.0%} of {side.capacity:,.0f}/s"


def _time_of(side: SideEstimate) -> str:
    return f"{duration_in_words(side.seconds)} at {side.units_per_second:,.0f} units/s"
