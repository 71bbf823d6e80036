"""Transforms that break one invariant each; at the top level, so that a second process finds them."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import itertools
import os
import sys
from decimal import Decimal

# --- it raises nothing


def reads_a_number(item):
    return {**item, "number": int(item["id"])}


def wants_an_attribute(item):
    return {**item, "copy": item["absent"]}


def ends_the_process(item):
    sys.exit(3)


# --- it returns what the pair can take


def a_float(item):
    return {**item, "price": 0.1}


def a_float_in_a_list(item):
    return {**item, "prices": [{"price": 1.0}]}


def an_empty_set(item):
    return {**item, "tags": set()}


def a_mixed_set(item):
    return {**item, "tags": {"a", b"a"}}


def thirty_nine_digits(item):
    return {**item, "number": Decimal("1." + "0" * 37 + "1")}


def not_a_number(item):
    return {**item, "number": Decimal("NaN")}


def a_list(item):
    return [item]


def a_text(item):
    return item["id"]


def no_key(item):
    return {name: value for name, value in item.items() if name != "id"}


def an_empty_key(item):
    return {**item, "id": item["id"].strip()}


def another_key(item):
    return {**item, "id": item["id"].lower()}


def itself(item):
    item = dict(item)
    item["self"] = item
    return item


# --- it leaves its input as it was


def adds_to_its_input(item):
    item["seen"] = True
    return {"id": item["id"]}


def adds_to_a_list_in_its_input(item):
    for value in item.values():
        if isinstance(value, list):
            value.append("seen")
    return {"id": item["id"]}


# --- one item has one result

_calls = itertools.count()
_met: set[str] = set()


def counts_its_calls(item):
    return {**item, "call": next(_calls)}


def remembers_what_it_met(item):
    met = repr(sorted(item.items(), key=repr)) in _met
    _met.add(repr(sorted(item.items(), key=repr)))
    return {"id": item["id"], "met": met}


def says_the_time(item):
    return {**item, "migrated_at": dt.datetime.now(tz=dt.UTC).isoformat()}


# --- ... in every process

_first: list[str] = []


def joins_a_set(item):
    return {**item, "tags": ",".join({item["id"], "one", "two", "three"})}


def hashes_a_text(item):
    return {**item, "hash": hash(item["id"])}


def says_the_local_time(item):
    at = dt.datetime.fromtimestamp(1_000_000_000)  # noqa: DTZ006  # that is what is wrong with it
    return {**item, "at": at.isoformat()}


def remembers_the_first(item):
    if not _first:
        _first.append(item["id"])
    return {**item, "first": _first[0]}


# --- DynamoDB takes what it returns


def doubles_every_text(item):
    return {
        name: value * 2 if isinstance(value, str) and name != "id" else value for name, value in item.items()
    }


def base64_of_binaries(item):
    return {
        name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for name, value in item.items()
    }


def one_level_more(item):
    others = {name: value for name, value in item.items() if name != "id"}
    return {"id": item["id"], "others": others}


def an_attribute_without_a_name(item):
    return {**item, "": "x"}


def a_long_name(item):
    return {**item, "n" * 65_536: "x"}


def a_key_that_is_too_long(item):
    return {**item, "id": item["id"] * 3}


def half_a_surrogate_pair(item):
    return {**item, "half": "\ud83d"}


def an_index_key_of_another_type(item):
    return {**item, "at": "today"}


def an_empty_index_key(item):
    return {**item, "city": ""}


# --- the inverse gives the item back


def only_the_key(item):
    return {"id": item["id"]}


def same(item):
    return dict(item)


def raises(item):
    raise LookupError("no")


# --- no two source keys become one target key


def lower_case(item):
    return {**item, "id": item["id"].lower()}


def stripped(item):
    return {**item, "id": item["id"].strip() or "none"}


def first_36(item):
    return {**item, "id": item["id"][:36]}


def a_byte_of_a_digest(item):
    return {**item, "id": hashlib.sha256(item["id"].encode()).hexdigest()[:2]}


def joined(item):
    return {"id": f"{item['a']}#{item['b']}"}


def joined_without_a_joint(item):
    return {"id": f"{item['a']}{item['b']}"}


def without_the_sort_key(item):
    return {"id": item["a"]}


def as_a_float(item):
    return {"id": str(float(item["n"]))}


def whole(item):
    return {"n": item["n"].to_integral_value()}


def several(item):
    return [{"id": item["id"], "part": Decimal(1)}, {"id": item["id"].casefold(), "part": Decimal(2)}]


def by_another_attribute(item):
    # Its type and not its text, which is another in each process where it is a set.
    return {"id": f"id-{type(item.get('0')).__name__}"}


# --- some item has a result


def nothing(item):
    return None


# --- and some that are right


def by_a_digest(item):
    """Sets, lists and maps in, texts in a fixed order out; a key of its own."""
    tags = ",".join(sorted(item["tags"])) if isinstance(item.get("tags"), set) else ""
    return [{"id": hashlib.sha256(item["id"].encode()).hexdigest(), "name": item["id"], "tags": tags}]


def set_to_items(item):
    """A list in the order of a set: the same items in every process."""
    return [{"id": item["id"], "tag": tag} for tag in {"one", "two", "three"}]


def prints(item):
    print("a line that is no answer")
    return item


def keeps_its_secret(item):
    if "SENTINEL" in str(item.get("secret")):
        raise ValueError(item["secret"])
    return item


def first_of_a_secret(item):
    """Only items with a secret lose the end of their key."""
    return {"id": item["id"][:8] if "SENTINEL" in item["id"] else item["id"]}


def hashes_a_secret(item):
    """Only items with a secret have another result elsewhere."""
    return {**item, "hash": hash(item["secret"])} if "SENTINEL" in str(item.get("secret")) else item


def says_its_hash_seed(item):
    return {**item, "seed": os.environ.get("PYTHONHASHSEED")}


def ends_other_processes(item):
    if "ddbverify.testing" not in sys.modules:
        os._exit(3)
    return item
