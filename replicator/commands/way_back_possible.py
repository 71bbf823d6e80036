"""Whether a migration can have a way back, found out before anything of it is made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ddbverify.config import Config, Pair
from ddbverify.errors import EngineError, Refused
from ddbverify.names import LONGEST_NAME_WITH_WAY_BACK, region_of, table_name
from ddbverify.tables.aws import translated
from ddbverify.words import duration_in_words
from replicator.commands import taken
from replicator.context.context import Context

_EXPIRING: Final = ("ENABLED", "ENABLING", "DISABLING")


def why_not(context: Context) -> str:
    """Why a migration can have no way back, in a sentence; empty where it can."""
    seen: dict[str, Pair] = {}
    config = context.root.config
    if len(config.name) > LONGEST_NAME_WITH_WAY_BACK:
        return f"the name {config.name!r} has more than {LONGEST_NAME_WITH_WAY_BACK} characters."
    if config.cutover.fence.startswith("command:") and "{side}" not in config.cutover.fence:
        return "your fence command has no {side}, and so cannot tell which table to fence."
    if config.stack.deployed or context.shared.by_others:
        return "others deploy the stacks, and a way back needs stacks of its own."
    if (keys := config.stack.of_one_place) and _apart(config):
        return f"[stack] {keys[0]} is of one account and region, and a way back runs in the target's."
    for pair in config.tables:
        if pair.rekeys:
            return f"the transform of {pair} makes keys of its own, and nothing says what they were made of."
        if pair.transform is not None and pair.inverse is None:
            return f"{pair} has a transform, and no `inverse` says how to undo it."
        other = seen.setdefault(table_name(pair.source), pair)
        if other is not pair:
            return f"{other} and {pair} have one source, which cannot follow two targets."
    return ""


def _apart(config: Config) -> bool:
    """Whether the two sides are reached in different ways, and so may be of two accounts or regions."""
    places = {
        (side.profile, side.endpoint_url, side.region or region_of(table))
        for side, table in (
            *((config.source, pair.source) for pair in config.tables),
            *((config.target, pair.target) for pair in config.tables),
        )
    }
    return len(places) > 1


def wanted(context: Context) -> bool:
    """Whether the flip of a direction is to leave a way back open; from a way back, the way over is."""
    settings = context.root.config.cutover
    if context.cycle % 2 or settings.way_back is not None:
        return context.cycle % 2 == 1 or settings.way_back_seconds is not None
    return why_not(context) == ""


def foretold(context: Context) -> str:
    """What the flip of a direction is to leave open, in a sentence, for whoever may want it otherwise."""
    settings, reason = context.root.config.cutover, why_not(context)
    if settings.way_back == "off":
        return 'no way back is asked for ([cutover] way_back = "off")'
    if not reason:
        seconds = settings.way_back_seconds
        return f"behind the cutover there is a way back, for {duration_in_words(seconds or 0)}"
    if settings.way_back is None:
        return f"behind the cutover there is no way back: {reason.rstrip('.')}"
    return f"there can be no way back, and `cutover` will refuse: {reason.rstrip('.')}"


def need(context: Context) -> None:
    """
    Refuse a flip that could not be followed by a way back that is asked for.

    Raises:
        Refused: With the reason.
    """
    if reason := why_not(context):
        raise Refused(f"[cutover] way_back: {reason}", 'set way_back = "off" to cut over without one.')


def decided(context: Context) -> bool:
    """
    Whether the flip of a direction leaves a way back open; where it does not, that is said with its reason.

    Raises:
        Refused: It is asked for, and cannot be.
    """
    taken.remember(context.root)  # `--deployed` was given to `up` and `restore` alone
    if wanted(context):
        need(context)
        return True
    context.console.line(f"  · {foretold(context)}")
    return False


def warnings(context: Context) -> Iterator[str]:
    """
    What there is to know before a flip along a direction is followed by the next one, in sentences.

    Time to live goes on removing items of a table that follows: each was past its time, but a later write to
    the other table may have given it more, and what only the follower held of it is gone by then.
    """
    for pair in context.config.tables:
        follower, leader = table_name(pair.source), table_name(pair.target)
        try:
            with translated(f"look at the time to live of {follower}"):
                found = context.source.describe_time_to_live(TableName=follower)["TimeToLiveDescription"]
        except EngineError as error:
            yield f"whether time to live is on in {follower} is not known: {error.message}"
            continue
        if found.get("TimeToLiveStatus") in _EXPIRING:
            yield (
                f"time to live is on in {follower}, which follows behind the flip: it goes on removing items "
                f"that are past their time there, also before {leader} does. Turn it off there then (until "
                f"that is so, `ddbverify run` fails and opens no gate to go on), and on in {leader}: what "
                "that removes is removed here, too."
            )
