"""
Negative controls: a real item is altered in memory, and the engine has to notice.

A comparison that finds nothing is only worth something if it would have found something. Each
pass therefore ends with a few tiny joins, through the same code and the same rules: an item of
the source against what the target should hold for it, altered in one way at a time.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

from ddbverify.claims import ClaimJoin
from ddbverify.comparison import State
from ddbverify.coscan import KeyJoin, Memory, Role
from ddbverify.items import Form, UnknownValue
from ddbverify.judge import Judge, Uncomparable
from ddbverify.names import KeySchema, TypedItem
from ddbverify.pages import PageDecoder, decode_item
from ddbverify.tally import Tally

CONTROL_BYTES: Final = 100_000_000  # more than they can take: nothing of theirs waits on disk
ADDED = "ddbverify-control"

Notices = Callable[[TypedItem, Sequence[TypedItem]], bool]
"""Whether the engine sees anything but a match, given a source item and the target's items."""


def alterations(item: TypedItem, keys: KeySchema, form: Form) -> Iterator[tuple[str, TypedItem | None]]:
    """
    *item* altered in each way that it allows: what was done, in words, and the result.

    ``None``: it is gone. Attributes of the key, and those that *form* leaves out, stay as they are.
    """
    yield "a missing item", None
    yield "an attribute too many", {**item, ADDED: {"BOOL": True}}
    seen: set[str] = set()
    for name in form.without_ignored(item):
        ((kind, content),) = item[name].items()
        if name in keys or kind in seen:
            continue
        seen.add(kind)  # one attribute of each type is enough
        yield f"a missing attribute of type {kind}", {one: item[one] for one in item if one != name}
        altered = _altered(kind, content)
        if altered is not None:
            yield f"another value of type {kind}", {**item, name: {kind: altered}}
        if kind in ("S", "N"):
            yield f"{kind} turned into another type", {**item, name: {"SS": [content]}}


def _altered(kind: str, content: Any) -> Any:
    match kind, content:
        case "S", str():
            return content + "."
        case "N", str():
            return _next_in_the_last_digit(content)
        case "B", str():
            return _one_byte_more(content)
        case "BOOL", bool():
            return not content
        case "SS", [first, *others]:
            return others or [first + "."]
        case "BS", [first, *others]:
            return others or [_one_byte_more(first)]
        case "NS", [first, *others]:
            return others or [_next_in_the_last_digit(first)]
        case "L", list():
            return [*content, {"NULL": True}]
        case "M", dict():
            return {**content, ADDED: {"BOOL": True}}
    return None


def _one_byte_more(content: str) -> str:
    return base64.b64encode(base64.b64decode(content) + b"\0").decode()


def _next_in_the_last_digit(number: str) -> str:
    digits, mark, exponent = number.upper().partition("E")
    last = digits[-1]
    return f"{digits[:-1]}{int(last) - 1 if last != '0' else 1}{mark}{exponent}"


def unnoticed(source: TypedItem, judge: Judge, notices: Notices) -> list[str]:
    """
    Which alterations went unnoticed, in words without values; empty as it should be.

    Args:
        source: An item of the source.
        judge: The rules of the pair.
        notices: The engine.
    """
    try:
        made = [claim.item for claim in judge.claims(source)]
    except Uncomparable:
        return []  # the pass has said so
    if not made or notices(source, made):
        return []  # nothing to alter, or not comparable at all: likewise
    first, *others = made
    keys = judge.transform.target_keys
    return [
        what
        for what, altered in alterations(first, keys, judge.form)
        if not notices(source, others if altered is None else [altered, *others])
    ]


def missed(specimens: Sequence[bytes], judge: Judge, now: float) -> list[str]:
    """
    Which alterations of *specimens* the engine does not notice, each once, in words.

    Args:
        specimens: Items of the source, as a page carries them.
        judge: The rules of the pair.
        now: Seconds since the epoch.
    """
    sources, targets = PageDecoder(judge.transform.source_keys), PageDecoder(judge.transform.target_keys)

    def notices(source: TypedItem, found: Sequence[TypedItem]) -> bool:
        tally, memory = Tally(judge), Memory(CONTROL_BYTES)
        ours, theirs = sources.page_of([source]), targets.page_of(found)
        join: ClaimJoin | KeyJoin
        if judge.transform.rekeys:
            join = ClaimJoin(judge, tally, memory)
            join.add_target(theirs, now)
            join.add_source(ours, now)
        else:
            join = KeyJoin(judge, tally, memory)
            join.add(Role.SOURCE, ours, now)
            join.add(Role.TARGET, theirs, now)
        suspects = list(join.finish(now, source_complete=True, target_complete=True))
        return bool(suspects) or any(
            count for state, count in tally.counts.items() if state is not State.MATCHED
        )

    unseen: dict[str, None] = {}
    for raw in specimens:
        with suppress(UnknownValue):  # the pass has said so
            unseen |= dict.fromkeys(unnoticed(decode_item(raw), judge, notices))
    return list(unseen)
