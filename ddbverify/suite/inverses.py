"""The laws of a pair's inverse, held against a few of the source's items, which are read for it."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator
from typing import Final

from ddbverify.compare.inspection import Refutation
from ddbverify.errors import TransformError
from ddbverify.items.inverse import Inverse
from ddbverify.items.laws import broken_law
from ddbverify.items.raw import decode_item
from ddbverify.names import TypedItem, is_ours
from ddbverify.suite.pair import Pair
from ddbverify.suite.verdicts import Finding, Verdict
from ddbverify.tables.capacity import ReadRate
from ddbverify.tables.segments import ITEMS_PER_SAMPLED_SEGMENT, MOST_SEGMENTS
from ddbverify.tables.wire import TableReader
from ddbverify.words import number_of

ITEMS_LOOKED_AT: Final = 1_000
PAGES: Final = ITEMS_LOOKED_AT // ITEMS_PER_SAMPLED_SEGMENT
_SHOWN: Final = 20
_CHECK: Final = "check_inverse.py::check_the_inverse_holds"
_HINT: Final = (
    "mend the inverse; assert_inverse of ddbverify.testing makes a small counter-example, and ddbverify "
    "explain HASH shows the key of an item."
)


def inverse_verdict(pair: Pair) -> Verdict:
    """
    The verdict of "both laws of the inverse hold of the source's items", on up to `ITEMS_LOOKED_AT` of them.

    They are drawn anew each time, from random segments of the source, a page of each. An item that the
    transform drops says nothing about an inverse, and is not counted.

    Raises:
        ConfigurationError: The inverse does not load.
        EngineError: AWS refused to give items.
    """
    name = pair.settings.inverse
    if name is None:
        return Verdict(examined=0, unexamined=("the pair has no inverse",))
    inverse = Inverse.load(name, pair.source.key_schema, pair.target.key_schema)
    examined, findings, causes, undecided = 0, list[Finding](), Counter[str](), Counter[str]()
    for item in _some_items(pair):
        try:
            results = pair.transform(item)
        except TransformError as error:
            undecided[error.message.rstrip(".")] += 1
            continue
        for made in results:
            examined += 1
            broken = broken_law(pair.transform, inverse, item, made)
            if broken is not None:
                key = pair.transform.target_key(made)
                pair.tell(Refutation(_CHECK, key, str(broken)))
                findings.append(Finding(f"{pair.key_hash(key)}: {broken}"))
                causes[str(broken)] += 1
    return Verdict(
        examined=examined,
        findings=tuple(findings[:_SHOWN]),
        unlisted=len(findings[_SHOWN:]),
        unexamined=_counted(undecided),
        causes=_counted(causes),
        hint=_HINT,
    )


def _counted(causes: Counter[str]) -> tuple[str, ...]:
    return tuple(f"{what} ({number_of(count, 'item')})" for what, count in causes.most_common())


def _some_items(pair: Pair) -> Iterator[TypedItem]:
    source = pair.source
    rate = ReadRate.of(source, pair.config.verification.read_units).ceiling
    reader = TableReader(pair.config.source, source, units_per_second=rate)
    total = min(max(1, math.ceil(source.item_count / ITEMS_PER_SAMPLED_SEGMENT)), MOST_SEGMENTS)
    schema, found = source.key_schema, 0
    for segment in random.sample(range(total), min(total, PAGES)):
        for raw in reader.scan_page(segment, total, None).items:
            item = decode_item(raw)
            if not is_ours({name: item[name] for name in schema}, schema):
                yield item
                found += 1
                if found == ITEMS_LOOKED_AT:
                    return
