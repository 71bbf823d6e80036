"""The story, told in a user's account: looked at beforehand, limited, removed, and its result signed."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tabulate import tabulate

from ddbverify.errors import ConfigurationError, Refused
from ddbverify.evidence.envelope import NotTrusted
from ddbverify.tables.aws import translated
from replicator.context.console import Console
from replicator.demo import beforehand, leftovers, reports, result, shapes, spending
from replicator.demo.beforehand import CLEAN, Account
from replicator.demo.own_run import Run
from replicator.demo.scene import Scene, Spot
from replicator.demo.story import Options, Story

ITEMS: Final = 1_000
"""At most: a small table shows what a large one does."""

MINUTES: Final = 180.0
"""At most."""


@dataclass(frozen=True, slots=True)
class Asked:
    """
    What the user asked for, beside the story's options.

    Args:
        region: Empty: the AWS configuration's.
        minutes: For how long it may take.
        max_cost: US dollars that it may cost at most.
        agrees: Asks whether it may spend that; says no where nobody can be asked.
        result: File for the signed result.
    """

    region: str | None
    minutes: float
    max_cost: float
    agrees: Callable[[str], bool]
    result: Path


def demo(options: Options, asked: Asked, console: Console) -> dict[str, Any]:
    """
    Run the demonstration, and remove all that it has made, however it ends.

    Returns:
        As `playing.demo`; ``left``: what could not be removed.

    Raises:
        ConfigurationError: An option cannot be used, or there is no region.
        EngineError: AWS refused something.
        Refused: There is no room, another run is there, or it may not spend that.
    """
    _check(options, asked)
    cost = spending.ceiling(items=options.count, traffic=options.traffic, minutes=asked.minutes)
    if cost.usd > asked.max_cost:
        raise Refused(
            f"The demonstration may cost up to ${cost.usd:.2f}, and --max-cost is ${asked.max_cost:.2f}.",
            "allow more, or ask for less: --minutes, --traffic, --count.",
        )
    of = beforehand.account(asked.region)
    beforehand.need_nothing_left(of)
    reports.prepare(options.report)
    run = Run.new()
    console.line(f"Run {run.id} in {of.region}; the tag ddbverify-demo = {run.id} is on all that it makes.")
    console.line(tabulate([(name, f"${usd:.2f}") for name, usd in cost.parts.items()], tablefmt="plain"))
    if not asked.agrees(f"It may cost up to ${cost.usd:.2f}, and takes {asked.minutes:g} minutes at most"):
        raise Refused("Nobody has agreed to that; nothing was made.", "answer yes, or give --yes.")
    return _run(of, run, options, asked, console, cost.usd)


def _check(options: Options, asked: Asked) -> None:
    if not 0 < options.traffic <= 100 or options.count > ITEMS or not 0 < asked.minutes <= MINUTES:
        raise ConfigurationError(
            "A demonstration in your account is a small one.",
            f"use up to {ITEMS} items, up to 100 operations a second, and up to {MINUTES:g} minutes.",
        )
    if options.items or options.transform or options.two_accounts or options.deployed or options.keep:
        raise ConfigurationError(
            "--items, --transform, --two-accounts, --deployed and --keep are of the embedded AWS.",
            "leave them out with --aws: its items are generated, and all is removed at the end.",
        )
    if not asked.result.absolute().parent.is_dir():
        raise ConfigurationError(
            f"There is no folder for the result {asked.result}.",
            "make it, or name another file with --result.",
        )


def _run(
    of: Account, run: Run, options: Options, asked: Asked, console: Console, usd: float
) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="replicator-demo-"))
    told: dict[str, Any] = {"held": False, "failed": "it did not begin"}
    seen: list[result.Difference] = []
    left: list[str] = [f"the run {run.id}: not looked at"]
    try:
        beforehand.take(of, run, asked.minutes)
        try:
            told, seen = _tell(of, run, options, asked, console, folder)
        finally:
            console.line("▸ everything that the demonstration has made is removed")
            left = leftovers.remove(of.session, run, lambda text: console.line(f"    {text}"))
            for text in left:
                console.line(f"    LEFT: {text}")
        key = result.new_key(folder)
        spent = {"items": options.count, "traffic": options.traffic, "short": options.short}
        document = result.payload(
            of,
            told,
            seen,
            asked={**spent, "minutes": asked.minutes, "at_most_usd": round(usd, 2)},
            removed=not left,
            key=key.public,
        )
        result.write(asked.result, document, key)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    rows = [(one.what, one.embedded, one.here or "not seen") for one in seen]
    console.line(tabulate(rows, headers=("", "embedded AWS", "here"), maxcolwidths=[48, 30, 30]))
    console.line(f"The signed result is {asked.result}: no account, no name and no item is in it.")
    failed = told["failed"]
    if left:
        failed = f"{failed}; and something is left" if failed else f"something is left: run `{CLEAN}`"
    return {**told, "held": told["held"] and not left, "failed": failed, "left": left}


def _tell(
    of: Account, run: Run, options: Options, asked: Asked, console: Console, folder: Path
) -> tuple[dict[str, Any], list[result.Difference]]:
    scene = scene_of(of, run)
    items = shapes.generated_items(options.count, options.seed)
    schema = shapes.find_key(items)
    story = Story(options, console, scene, folder, items, schema, schema, rekeys=False, function=None)
    story.deadline = time.monotonic() + asked.minutes * 60
    with translated("play the demonstration"):
        told = story.tell()
    return told, result.differences(of, scene, told, had_tags=story.target_had_tags)


def scene_of(of: Account, run: Run) -> Scene:
    """Two tables in one region, worked on with the user's own credentials."""
    environment = {**os.environ, "AWS_REGION": of.region, "AWS_DEFAULT_REGION": of.region}
    source, target = (
        Spot(of.session, of.id, of.region, name, partition=of.partition) for name in (run.source, run.target)
    )
    return Scene(
        source,
        target,
        environments=dict.fromkeys(("replicator", "ddbverify"), environment),
        pointer=run.pointer,
        role=run.role,
        migration=run.migration,
        run=run,
        emulated=of.emulated,
    )


def clean(region: str | None, console: Console) -> dict[str, Any]:
    """
    Remove what runs have left in an account and region.

    Returns:
        ``removed``: the runs of which nothing is left; ``left``: in words, what still is.

    Raises:
        EngineError: AWS refused to list it.
        Refused: A run is under way on this machine.
    """
    of = beforehand.account(region, needs_room=False)
    begun = beforehand.lease(of.session)
    if begun is not None and beforehand.is_alive(begun):
        raise Refused(
            f"The demonstration {begun['run']} is under way: process {begun['process']} of this machine.",
            "interrupt it, and it removes what it has made; then run this again.",
        )
    runs = leftovers.runs(of.session)
    if begun is not None and (first := Run(begun["run"])) not in runs:
        runs.insert(0, first)
    removed, left = [], []
    for run in runs:
        console.line(f"▸ what the run {run.id} has left")
        found = leftovers.remove(of.session, run, lambda text: console.line(f"    {text}"))
        left += found
        if not found:
            removed.append(run.id)
        for text in found:
            console.line(f"    LEFT: {text}")
    console.line(f"Nothing is left in {of.region}." if not left else f"Something is left in {of.region}.")
    return {"removed": removed, "left": left, "held": not left}


def shown(path: Path) -> dict[str, Any]:
    """
    What a result says that somebody has sent.

    Raises:
        ConfigurationError: It has been altered, or is something else.
    """
    try:
        return result.read(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.", "name another file.") from error
    except NotTrusted as error:
        raise ConfigurationError(
            f"{path} must not be believed: {error}.", "ask for the file again, as it was written."
        ) from error
