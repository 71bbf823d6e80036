"""A transform, inverses that break one law each, and one that holds; a second process finds them here."""

from __future__ import annotations

import itertools
from decimal import Decimal

from ddbverify.items.values import to_typed


def narrower(item):
    """Renames the key, drops two attributes, and leaves out what is hidden."""
    if item.get("hidden"):
        return None
    return {"pk": item["id"], **without(item, "id", "internal", "hidden")}


def without(item, *names):
    return {name: value for name, value in item.items() if name not in names}


def nothing(item):
    return None


def same(item):
    return item


# --- what holds


def wider(item, before):
    kept = {name: value for name, value in (before or {}).items() if name in ("internal", "hidden")}
    return {**kept, **without(item, "pk"), "id": item["pk"]}


def wider_by_default(item, before=None, *, kept=("internal", "hidden")):
    return wider(item, before)


def with_zeros_at_the_end(item):
    """Other digits of the same numbers."""
    return {name: longer(value) for name, value in item.items()}


def longer(value):
    if type(value) is Decimal and value == value.to_integral_value() and abs(value) < 10**9:
        return Decimal(f"{value:f}.00")
    return value


# --- it raises nothing


def wants_what_was_before(item, before):
    return {**wider(item, before), "internal": before["internal"]}


def reads_a_number(item, before):
    int(item["pk"])
    return wider(item, before)


def calls_itself_without_end(item, before):
    return calls_itself_without_end(item, before)


# --- it returns an item of the source


def returns_nothing(item, before):
    return None


def returns_a_list(item, before):
    return [wider(item, before)]


def forgets_the_key(item, before):
    return without(wider(item, before), "id")


def another_key(item, before):
    return {**wider(item, before), "id": item["pk"] + "!"}


def a_float(item, before):
    return {**wider(item, before), "price": 0.1}


# --- it leaves its input as it was


def adds_to_its_item(item, before):
    made = wider(item, before)
    item["seen"] = True
    return made


def adds_to_what_was_before(item, before):
    made = wider(item, before)
    if before is not None:
        before["seen"] = True
    return made


# --- one call has one result

_calls = itertools.count()


def counts_its_calls(item, before):
    return {**wider(item, before), "internal": str(next(_calls))}


def hashes_a_text(item, before):
    """Of what was not there before, so that nothing but another process shows it."""
    return wider(item, before) if before else {**wider(item, before), "internal": str(hash(item["pk"]))}


# --- DynamoDB takes what it returns


def a_name_that_is_empty(item, before):
    return {**wider(item, before), "": True}


def half_a_surrogate(item, before):
    """In an attribute that the transform drops, where nothing was before."""
    return wider(item, before) if before else {**wider(item, before), "internal": "\ud800"}


# --- transform(inverse(item, before)) == item


def keeps_what_was_removed(item, before):
    return {**(before or {}), **without(item, "pk"), "id": item["pk"]}


def keeps_the_older_value(item, before):
    return {**wider(item, before), **{name: before[name] for name in before or () if name in item}}


def hides_what_is_new(item, before):
    return wider(item, before) if before else {**wider(item, before), "hidden": True}


# --- inverse(transform(item), item) == item


def deletes_what_is_dropped(item):
    return wider(item, None)


def deletes_what_is_dropped_before(item, before):
    return wider(item, None)


def numbers_as_text(item):
    return {name: str(value) if type(value) is Decimal else value for name, value in item.items()}


def booleans_as_numbers(item):
    return {name: int(value) if type(value) is bool else value for name, value in item.items()}


def empty_is_absent(item):
    return {name: value for name, value in item.items() if value != [] and value != {}}


# --- on one item of many


def fails_on_one_item(item, before):
    if item.get("secret") == "SENTINEL-7f1b":
        return {**wider(item, before), "secret": "other"}
    return wider(item, before)


# --- other arguments


def takes_a_rate(item, rate=5):
    return {**item, "rate": to_typed(rate)}


def takes_three(item, before, more):
    return item


def takes_all(*items):
    return items[0]


def needs_a_keyword(item, *, rate):
    return item


# --- other transforms


def without_a_total(item):
    return without(item, "total")


def a_number_of_a_text(item):
    int(item["id"])
    return item


def a_number_of_an_id(item):
    int(item["id"])
    return narrower(item)


def empties_a_map(item, before):
    return {name: {} if isinstance(value, dict) else value for name, value in wider(item, before).items()}
